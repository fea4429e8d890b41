"""`Pace`: requests of many threads, one after another at a venue's rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from quantum_trader.serve.live.errors import FeedError

_LONGEST_WAIT_S = 10.0
"""Whoever would have to wait longer is sent away: a thread that sleeps for minutes is of no use."""


class Pace:
    """Gives out moments at which a request may be sent.

    Args:
        per_second: requests a second.
        sleep, monotonic: seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gap_s = 1.0 / per_second
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._held_until = 0.0

    def take(self) -> None:
        """Wait for the next free moment.

        Raises:
            FeedError: the venue asked for a long pause, which is not over.
        """
        with self._lock:
            now = self._monotonic()
            held = self._held_until - now
            if held > _LONGEST_WAIT_S:
                raise FeedError("the exchange asked for a pause", retry_after_s=held)
            moment = max(self._free_at, self._held_until, now)
            self._free_at = moment + self._gap_s
        if moment > now:
            self._sleep(moment - now)

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: the venue limits requests."""
        with self._lock:
            self._held_until = max(self._held_until, self._monotonic() + seconds)
