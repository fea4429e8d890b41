from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.report.rolling import rolling_win_rate, window_length

CONFIG = BootstrapConfig(draws=200, block_bars=10.0)
TIMES = 1_000 + 10 * np.arange(3_000)


def test_a_window_holds_trades_and_blocks() -> None:
    """A hundred trades on average, or fifteen blocks if that is longer, three times side by side or none."""
    assert window_length(3_000, 1_500, 10.0) == 200
    assert window_length(3_000, 3_000, 24.0) == 360
    assert window_length(3_000, 300, 10.0) == 1_000
    assert window_length(3_000, 299, 10.0) == 0
    assert window_length(3_000, 0, 10.0) == 0


def test_each_point_counts_the_trades_of_its_window() -> None:
    """By hand: a trade every second bar that wins in the first half of the period only."""
    bars = np.arange(0, 3_000, 2)
    net = np.where(bars < 1_500, 1.0, -2.0)
    found = rolling_win_rate("a", TIMES, TIMES[bars], net, CONFIG, points=15)
    assert found is not None
    assert found.window_bars == 200
    assert found.timestamps[0] == TIMES[199]
    assert found.timestamps[-1] == TIMES[-1]
    for moment, rate in zip(found.timestamps, found.win_rate, strict=True):
        last = int(np.searchsorted(TIMES, moment))
        mine = (bars > last - 200) & (bars <= last)
        assert rate == pytest.approx(float((net[mine] > 0).mean()))
    assert (found.win_rate[0], found.win_rate[-1]) == (1.0, 0.0)
    mixed = (found.win_rate > 0) & (found.win_rate < 1)
    np.testing.assert_allclose(found.break_even[mixed], 2 / 3)
    assert np.isnan(found.break_even[~mixed]).all()


def test_the_order_of_the_trades_does_not_matter() -> None:
    """Trades of several symbols come one symbol after the other; time sorts them."""
    rng = np.random.default_rng(0)
    bars, net = rng.integers(0, 3_000, 1_500), rng.normal(size=1_500)
    one = rolling_win_rate("a", TIMES, TIMES[bars], net, CONFIG, points=10)
    order = np.argsort(bars, kind="stable")
    two = rolling_win_rate("a", TIMES, TIMES[bars][order], net[order], CONFIG, points=10)
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.win_rate, two.win_rate)
    np.testing.assert_array_equal(one.low, two.low)


def test_intervals_cover_the_truth_of_trades_that_move_together() -> None:
    """Ten symbols that win and lose together: the block interval covers 50 %, a binomial one would not."""
    rng = np.random.default_rng(4)
    outcome = np.repeat(rng.choice([-1.0, 1.0], 3_000 // 5), 10)
    bars = np.repeat(np.arange(0, 3_000, 5), 10)
    found = rolling_win_rate("a", TIMES, TIMES[bars], outcome, CONFIG, points=40)
    assert found is not None
    covered = (found.low <= 0.5) & (found.high >= 0.5)
    assert covered.mean() >= 0.75
    trades = found.window_bars / 5 * 10
    assert np.median(found.high - found.low) > 2 * 2 * 1.96 * np.sqrt(0.25 / trades)


def test_a_window_with_few_trades_is_blank() -> None:
    """Where an agent pauses the line is interrupted and nothing is made up."""
    bars = np.concatenate([np.arange(0, 1_000), np.arange(2_000, 3_000)])
    net = np.where(bars % 2, 1.0, -1.0)
    found = rolling_win_rate("a", TIMES, TIMES[bars], net, CONFIG, points=60)
    assert found is not None
    last = np.searchsorted(TIMES, found.timestamps)
    pause = (last > 1_000 + found.window_bars) & (last < 2_000)
    assert pause.any()
    assert np.isnan(found.win_rate[pause]).all()
    assert np.isfinite(found.win_rate[~pause]).sum() > 20


def test_too_few_trades_give_nothing() -> None:
    """An agent that hardly trades has no curve."""
    assert rolling_win_rate("a", TIMES, TIMES[:20], np.ones(20), CONFIG) is None
    assert rolling_win_rate("a", TIMES, TIMES[:0], np.ones(0), CONFIG) is None
