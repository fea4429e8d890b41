"""What the machine takes for itself: without it a 99th percentile says little about the software."""

from __future__ import annotations

import time

WINDOW_S = 0.1
_GAP_S = 0.002
"""A step of the loop takes less than a microsecond: longer gaps are somebody else's."""


def most_lost_ms(seconds: float) -> float:
    """Most milliseconds that a loop which does nothing but look at the clock lost within `WINDOW_S`."""
    lost: list[tuple[float, float]] = []
    last = time.perf_counter()
    end = last + seconds
    while last < end:
        now = time.perf_counter()
        if now - last > _GAP_S:
            lost.append((now, now - last))
        last = now
    sums = [
        sum(gap for other, gap in lost[at:] if other <= moment + WINDOW_S)
        for at, (moment, _) in enumerate(lost)
    ]
    return 1000 * max(sums, default=0.0)
