"""`SteadyClock`: the time of day, without the jumps of a clock that is being set."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

FOLLOW_AFTER_S = 600.0
"""A jump that lasts this long is no accident: the clock is believed from then on."""
TOLERANCE_MS = 1_000
"""Small differences are followed at once: clocks are slewed all the time."""


def running_s() -> float:
    """Seconds that never go back and do not stop while the machine sleeps, as far as the system has such."""
    # Linux stops CLOCK_MONOTONIC in sleep: after a night's sleep every bar would come from the future.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def system_ms() -> int:
    """Milliseconds since the epoch, UTC, by the system's clock."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """Milliseconds since the epoch that go on evenly while the system's clock jumps.

    A clock set back an hour would make every new bar one of the future, and one set forward would make open
    bars look closed. So a jump is followed only when it has lasted ten minutes; until then time goes on from
    before it by the monotonic clock, and `jump_ms` says how far the two are apart.

    Args:
        wall: the system's clock, milliseconds since the epoch.
        monotonic: seconds that never go back, sleep counted.
    """

    def __init__(
        self, wall: Callable[[], int] = system_ms, monotonic: Callable[[], float] = running_s
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._anchor_ms, self._anchor_s = wall(), monotonic()
        self._jumped_at: float | None = None
        self._jump_ms = 0

    def __call__(self) -> int:
        """Milliseconds since the epoch, UTC."""
        with self._lock:
            wall, now = self._wall(), self._monotonic()
            steady = self._anchor_ms + int((now - self._anchor_s) * 1000)
            self._jump_ms = wall - steady
            if abs(self._jump_ms) <= TOLERANCE_MS:
                self._anchor_ms, self._anchor_s, self._jumped_at = wall, now, None
                return wall
            if self._jumped_at is None:
                self._jumped_at = now
            if now - self._jumped_at >= FOLLOW_AFTER_S:
                self._anchor_ms, self._anchor_s, self._jumped_at, self._jump_ms = wall, now, None, 0
                return wall
            return steady

    @property
    def jump_ms(self) -> int:
        """How far the system's clock is from the time given out, milliseconds; 0 while it is believed."""
        return self._jump_ms if abs(self._jump_ms) > TOLERANCE_MS else 0
