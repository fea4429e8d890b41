"""What the machine takes for itself: without it a 99th percentile says little about the software."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor

WINDOW_S = 0.1
_GAP_S = 0.002
"""A step of the loop takes less than a microsecond: longer gaps are somebody else's."""


def most_lost_ms(seconds: float) -> float:
    """Most milliseconds that a loop on each core, which does nothing else, lost within `WINDOW_S`."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        return max(pool.map(lost_by_one, [seconds] * cores))


def lost_by_one(seconds: float) -> float:
    """The same of one loop."""
    lost: list[tuple[float, float]] = []
    last = time.perf_counter()
    end = last + seconds
    while last < end:
        now = time.perf_counter()
        if now - last > _GAP_S:
            lost.append((now, now - last))
        last = now
    within = (sum(gap for other, gap in lost if moment <= other <= moment + WINDOW_S) for moment, _ in lost)
    return 1000 * max(within, default=0.0)
