from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.train.arbiter_config import ArbiterConfig
from quantum_trader.train.gate import DailyTrades, GateTrial, choose_threshold, profit_interval


def trial(threshold: float, mean: float, *, spread: float = 0.001, coverage: float = 0.3) -> GateTrial:
    """200 days of two trades each, around a mean profit."""
    noise = np.random.default_rng(int(threshold * 1000)).normal(0, spread, 200)
    days = DailyTrades(profit=2 * (mean + noise - noise.mean()), trades=np.full(200, 2.0))
    return GateTrial(threshold=threshold, coverage=coverage, days=days)


def test_the_best_paying_threshold_wins() -> None:
    """Among thresholds whose interval lies above zero the highest mean profit is taken."""
    trials = [trial(0.5, -0.001), trial(0.52, 0.0005), trial(0.55, 0.002)]
    gate = choose_threshold(trials, 0.4, ArbiterConfig())
    assert gate.confidence_threshold == 0.55
    assert gate.hold_threshold == 0.4
    assert "+0.2000%" in gate.rule


def test_a_lucky_threshold_does_not_count() -> None:
    """A higher mean with an interval across zero loses to a lower mean that is certain."""
    sure, lucky = trial(0.52, 0.0005, spread=0.001), trial(0.6, 0.002, spread=0.05)
    assert choose_threshold([sure, lucky], 0.4, ArbiterConfig()).confidence_threshold == 0.52


def test_without_evidence_the_gate_stays_open() -> None:
    """Where nothing pays the gate does not become all-HOLD."""
    gate = choose_threshold([trial(0.5, -0.001), trial(0.6, -0.002)], 0.4, ArbiterConfig())
    assert gate.confidence_threshold == 0.5
    assert "none of 2 thresholds" in gate.rule


def test_the_interval_covers_the_mean_per_trade_not_per_day() -> None:
    """Days with many trades weigh more: 3 trades of 1 % and 1 of -1 % are 0.5 % a trade."""
    days = DailyTrades(profit=np.array([0.03, -0.01] * 50), trades=np.array([3.0, 1.0] * 50))
    mean, low, high = profit_interval(days, ArbiterConfig())
    assert mean == pytest.approx(0.005)
    assert low < mean < high


def test_no_trades_have_no_interval() -> None:
    """Without trades the profit is not a number, and no threshold without trades is chosen."""
    empty = GateTrial(threshold=0.7, coverage=0.0, days=DailyTrades(profit=np.zeros(0), trades=np.zeros(0)))
    assert np.isnan(profit_interval(empty.days, ArbiterConfig())).all()
    assert choose_threshold([trial(0.5, -0.1), empty], 0.4, ArbiterConfig()).confidence_threshold == 0.5
