from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.recent import by_bar, excess, wilson_low

CONFIG = MonitorConfig()


def first_alarm(happened: np.ndarray, limit: float) -> int | None:
    bars = np.arange(len(happened), dtype=np.int64)
    for end in range(1, len(happened) + 1):
        if excess(happened[:end], bars[:end], limit, CONFIG):
            return end
    return None


def test_a_total_failure_is_found_within_six_bars() -> None:
    """After a thousand healthy bars as at the very start."""
    for healthy in (0, 60):
        happened = np.append(np.zeros(healthy, dtype=np.bool_), np.ones(10, dtype=np.bool_))
        found = first_alarm(happened, 0.2)
        assert found is not None
        assert found <= healthy + 6


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_share_well_below_the_limit_raises_no_alarm(share: float) -> None:
    """2,000 bars of rare events."""
    assert first_alarm(np.random.default_rng(1).random(1_000) < share, 0.2) is None


def test_symbols_of_one_bar_count_as_one_observation() -> None:
    """A hundred symbols that fail together for two bars are two observations, not two hundred."""
    bars = np.repeat(np.arange(50, dtype=np.int64), 100)
    assert excess(bars >= 48, bars, 0.2, CONFIG) is None
    assert excess(bars >= 40, bars, 0.2, CONFIG) is not None


def test_an_alarm_stays_for_a_while() -> None:
    """Six bars after its cause it is still there, and then it goes."""
    happened = np.zeros(200, dtype=np.bool_)
    happened[100:106] = True
    bars = np.arange(200, dtype=np.int64)
    short = MonitorConfig(recent_bars=(6,))
    standing = [end for end in range(1, 201) if excess(happened[:end], bars[:end], 0.2, short)]
    assert standing == list(range(standing[0], standing[-1] + 1))
    assert 106 + 5 <= standing[-1] <= 120


def test_counts_by_bar_and_bounds() -> None:
    """By hand: bars 5, 5, 7 of which the second and third happened; Wilson's bound of 8 in 10 at 1.96."""
    hits, events = by_bar(np.array([False, True, True]), np.array([5, 5, 7], dtype=np.int64))
    assert (hits.tolist(), events.tolist()) == ([1, 1], [2, 1])
    assert wilson_low(0.8, 10, 1.96) == pytest.approx(0.490, abs=1e-3)
    assert excess(np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64), 0.1, CONFIG) is None
