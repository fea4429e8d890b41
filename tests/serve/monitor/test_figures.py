from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.figures import (
    agent_figures,
    arbiter,
    calibration_bins,
    calibration_error,
    confidence_histogram,
    daily_difference,
    shadow,
)
from quantum_trader.serve.monitor.moments import moments_of
from quantum_trader.serve.monitor.records import AgentFigures
from quantum_trader.serve.monitor.table import Table

from .simulated import HOUR, START, Truth, simulate

FAST = MonitorConfig(draws=200)


def figures(table: Table) -> AgentFigures:
    return agent_figures(arbiter(table), moments_of(table, FAST), FAST)


def test_the_figures_recover_the_truth() -> None:
    """Win rate, break-even, costs, shares and accuracy lie where the simulation put them."""
    truth = Truth(bars=4_000, symbols=4, win=0.58, hold=0.4, quiet_labels=0.25)
    found = figures(simulate(truth))
    assert found.resolved == 4 * (4_000 - truth.horizon)
    assert found.shares["HOLD"] == pytest.approx(0.4, abs=0.02)
    assert found.shares["BUY"] == pytest.approx(0.3, abs=0.02)
    assert found.win_rate.low < truth.win < found.win_rate.high
    assert found.break_even == pytest.approx(truth.break_even, abs=1e-9)
    assert found.net_return.low < truth.net < found.net_return.high
    assert found.gross_return - found.total_return == pytest.approx(truth.cost * found.trades)
    assert found.net_return.estimate == pytest.approx(found.total_return / found.trades)
    assert found.direction_accuracy.estimate == pytest.approx(0.58, abs=0.02)
    # Right needs a label that is not HOLD: 1 - 0.58 * 0.75.
    assert found.false_positive_rate.estimate == pytest.approx(1 - 0.58 * 0.75, abs=0.02)
    assert found.average_confidence == pytest.approx(0.58, abs=0.01)
    assert found.calibration_error < 0.05


def test_an_overstated_confidence_shows_as_calibration_error() -> None:
    """Stated 10 points above the truth, the error is 10 points."""
    found = figures(simulate(Truth(bars=4_000, win=0.56, overstated=0.10)))
    assert found.calibration_error == pytest.approx(0.10, abs=0.03)
    assert sum(each.count for each in found.calibration) > 4_000
    assert [each.low for each in found.calibration] == sorted(each.low for each in found.calibration)


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_the_interval_covers_the_true_win_rate(spread: float) -> None:
    """Nominally 95 %, also where luck lasts for half a day and all symbols share it (binomial: far less)."""
    truths = [Truth(bars=600, symbols=5, spread=spread, seed=seed) for seed in range(60)]
    intervals = [figures(simulate(truth)).win_rate for truth in truths]
    covered = np.mean([found.low <= 0.55 <= found.high for found in intervals])
    assert covered >= 0.87  # 95 % less three binomial deviations of 60 series


def test_few_data_get_no_bounds() -> None:
    """A handful of trades has a share but no interval, and no calibration at all."""
    found = figures(simulate(Truth(bars=24, symbols=1)))
    assert 0 < found.trades < 10
    assert math.isnan(found.win_rate.low)
    assert math.isnan(found.net_return.high)
    assert math.isnan(found.calibration_error)
    assert found.calibration == ()


def test_an_empty_journal_has_no_numbers() -> None:
    """Everything unknown is NaN, counts are 0, and nothing warns."""
    nothing = simulate(Truth(bars=10)).where(np.zeros(0, dtype=np.int64))
    found = figures(nothing)
    assert (found.decisions, found.resolved, found.trades) == (0, 0, 0)
    unknown = [found.win_rate.estimate, found.break_even, found.total_return, found.shares["BUY"]]
    assert all(math.isnan(value) for value in unknown)
    assert confidence_histogram(arbiter(nothing)) == (0,) * 10


def test_bins_are_of_equal_mass_and_the_error_is_their_mean_distance() -> None:
    """By hand: 100 rows stated 0.6 of which 50 came true, 100 stated 0.8 of which 80 did."""
    confidence = np.repeat([0.6, 0.8], 100)
    right = np.concatenate([np.arange(100) < 50, np.arange(100) < 80])
    bins = calibration_bins(confidence, right, 100)
    assert [each.count for each in bins] == [20] * 10
    assert {(each.low, each.high) for each in bins} == {(0.6, 0.6), (0.8, 0.8)}
    shares = [each.accuracy for each in bins]
    assert sum(shares[:5]) / 5 == pytest.approx(0.5)
    assert sum(shares[5:]) / 5 == pytest.approx(0.8)
    assert calibration_error(bins) == pytest.approx(
        np.mean(np.abs(np.array(shares) - np.repeat([0.6, 0.8], 5)))
    )


def test_the_histogram_counts_directions_only() -> None:
    """Ten bins from 0.5 to 1; HOLD has no direction to be confident of."""
    table = simulate(Truth(bars=500, win=0.62))
    counts = confidence_histogram(arbiter(table))
    assert sum(counts) == int((table.action != 0).sum())
    assert counts[2] > 0.9 * sum(counts)


def test_the_shadow_is_judged_on_the_rows_it_was_asked_about() -> None:
    """None without one; else its own actions on the same bars."""
    assert shadow(simulate(Truth(bars=50))) is None
    table = simulate(Truth(bars=2_000, win=0.60, shadow_win=0.52))
    other = shadow(table)
    assert other is not None
    found = agent_figures(other, moments_of(table, FAST), FAST)
    assert found.agent == "xgboost"
    assert found.direction_accuracy.estimate == pytest.approx(0.52, abs=0.03)


def test_the_daily_difference_adds_up() -> None:
    """Mean a day times days is the difference of the sums, and a better Arbiter is seen to be better."""
    table = simulate(Truth(bars=2_400, win=0.62, shadow_win=0.52))
    own, other = arbiter(table), shadow(table)
    assert other is not None
    found = daily_difference(own, other, FAST)
    total = own.trades.net.sum() - other.trades.net.sum()
    assert found.estimate * 100 == pytest.approx(total)  # 2,400 hours are 100 days
    assert found.above_zero


def test_long_ranges_are_binned_without_moving_the_estimate() -> None:
    """30,000 bars become coarser bins: estimates stay, the interval is as wide as it should be."""
    table = simulate(Truth(bars=30_000, symbols=1))
    moments = moments_of(table, FAST)
    assert moments.width > 1
    assert moments.bins * moments.width >= 30_000
    found = agent_figures(arbiter(table), moments, FAST)
    trades = arbiter(table).trades
    assert found.win_rate.estimate == pytest.approx(float((trades.net > 0).mean()))
    half = (found.win_rate.high - found.win_rate.low) / 2
    assert half == pytest.approx(1.96 * math.sqrt(0.55 * 0.45 / len(trades)), rel=0.35)


def test_blocks_are_as_long_as_the_longest_trade() -> None:
    """Resampling must not cut what hangs together."""
    assert moments_of(simulate(Truth(bars=400, lasts=40, horizon=50)), FAST).block >= 41
    moments = moments_of(simulate(Truth(bars=400)), FAST)
    assert (moments.block, moments.width) == (24.0, 1)
    assert moments.bar_ms[0] == START
    assert moments.bar_ms[-1] == START + 399 * HOUR
