from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.silence import silence

CONFIG = MonitorConfig()


def chain(bars: int, share: float, mean: float, seed: int) -> np.ndarray:
    """bool [bars]: quiet a share of the time, in geometric spells."""
    draws = np.random.default_rng(seed).random(bars)
    stay, begin = 1 - 1 / mean, share / (1 - share) / mean
    quiet = np.zeros(bars, dtype=np.bool_)
    for bar in range(1, bars):
        quiet[bar] = draws[bar] < (stay if quiet[bar - 1] else begin)
    return quiet


@pytest.mark.parametrize(("share", "mean"), [(0.3, 3.0), (0.5, 6.0), (0.6, 12.0)])
def test_quiet_spells_of_a_market_raise_no_alarm(share: float, mean: float) -> None:
    """Half a year of hours, looked at whenever a spell is at its longest: hardly ever called silent."""
    alarms = bars = 0
    for seed in range(4):
        quiet = chain(4_400, share, mean, seed)
        ends = np.flatnonzero(quiet & ~np.append(quiet[1:], False))
        alarms += sum(silence(quiet[: end + 1], CONFIG, chance=1e-4).suspicious for end in ends[::3])
        bars += len(quiet)
    assert alarms <= 2  # 1 in 10,000 bars, of 17,600 of which a third is looked at


def test_a_dead_arbiter_is_found_within_two_days_of_hours() -> None:
    """From the start, and after a healthy time: 48 bars by what is believed before anything is known."""
    assert not silence(np.ones(47, dtype=np.bool_), CONFIG, chance=1e-4).suspicious
    assert silence(np.ones(48, dtype=np.bool_), CONFIG, chance=1e-4).suspicious
    healthy = np.append(chain(1_000, 0.4, 3.0, 0), False)
    dead = np.append(healthy, np.ones(48, dtype=np.bool_))
    assert silence(dead, CONFIG, chance=1e-4).suspicious


def test_many_symbols_make_silence_stranger() -> None:
    """Where hardly a bar was ever silent, half a day of silence is enough."""
    busy = np.append(np.zeros(2_000, dtype=np.bool_), np.ones(16, dtype=np.bool_))
    assert silence(busy, CONFIG, chance=1e-4).suspicious


def test_one_signal_ends_it() -> None:
    """The newest bar decides."""
    found = silence(np.append(np.ones(500, dtype=np.bool_), False), CONFIG, chance=1e-4)
    assert found.bars == 0
    assert not found.suspicious
    assert not silence(np.zeros(0, dtype=np.bool_), CONFIG, chance=1e-4).suspicious
