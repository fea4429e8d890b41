"""Whether something happens too often of late: shares over the newest bars, several windows at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.table import Integers, Mask


@dataclass(frozen=True, kw_only=True)
class Excess:
    """A window in which a share lies above its limit, surely."""

    share: float
    """Share found in it."""
    bars: int
    """Bars in it."""
    bars_ago: int
    """Bars between its end and the newest."""


def excess(happened: Mask, bar_ms: Integers, limit: float, config: MonitorConfig) -> Excess | None:
    """The newest window whose share of events surely exceeds `limit`.

    Decisions of one bar go together, so a bar counts as one observation however many symbols it has: Wilson's
    lower bound for as many observations as bars, at `alert_level` for all windows together.

    Args:
        happened: bool [N], whether it happened at each decision.
        bar_ms: int64 [N], their bars, ascending.
        limit: share that is put up with.
        config: windows, level, and how long an excess is remembered.
    """
    hits, events = by_bar(happened, bar_ms)
    hits, events = np.concatenate([[0], np.cumsum(hits)]), np.concatenate([[0], np.cumsum(events)])
    bars = len(events) - 1
    sureness = _deviations(config.alert_level, len(config.recent_bars))
    for ago in range(min(config.latch_bars, bars)):
        end = bars - ago
        for length in sorted(size for size in config.recent_bars if size <= end):
            share = float(hits[end] - hits[end - length]) / float(events[end] - events[end - length])
            if wilson_low(share, length, sureness) > limit:
                return Excess(share=share, bars=length, bars_ago=ago)
    return None


def by_bar(happened: Mask, bar_ms: Integers) -> tuple[Integers, Integers]:
    """int64 [K]: how often it happened at each distinct bar, and how many decisions were taken there."""
    if not len(bar_ms):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    begins = np.flatnonzero(np.diff(bar_ms, prepend=bar_ms[0] - 1))
    hits = np.add.reduceat(happened.astype(np.int64), begins)
    return hits, np.diff(begins, append=len(bar_ms))


def wilson_low(share: float, count: float, deviations: float) -> float:
    """Lower bound of a share seen in `count` observations (Wilson 1927), for normal `deviations`."""
    square = deviations**2 / count
    spread = deviations * np.sqrt(share * (1.0 - share) / count + square / (4.0 * count))
    return float((share + square / 2.0 - spread) / (1.0 + square))


@lru_cache(maxsize=16)
def _deviations(level: float, windows: int) -> float:
    # Loads slowly, and everything that only names a record would pay for it.
    from scipy.stats import norm

    return float(norm.isf((1.0 - level) / 2.0 / max(windows, 1)))


def deviations(level: float) -> float:
    """Normal deviations of a one-sided bound at the error of one end of a two-sided `level`."""
    return _deviations(level, 1)
