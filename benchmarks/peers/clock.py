"""How fast something is by either clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from peers.rounds import rate


def speed(steps: Callable[[], int], seconds: float, at_least: int = 0, *, wall: bool = False) -> float:
    """`rate` of processor time, or with `wall` the same round by the clock on the wall.

    Processor time adds up over threads, so work on several is timed by the wall.
    """
    if not wall:
        return rate(steps, seconds, at_least)
    done = 0

    def counted() -> int:
        nonlocal done
        taken = steps()
        done += taken
        return taken

    start = time.perf_counter()
    rate(counted, seconds, at_least)
    return done / max(time.perf_counter() - start, 1e-9)
