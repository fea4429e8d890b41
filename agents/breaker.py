"""`CircuitBreaker`: stop asking what keeps failing, and try again later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Opens after several failures in a row, and lets one call try again after a rest.

    Closed, every call is allowed. Open, none is until the rest is over. Then, half-open, one call may try:
    its success closes the breaker, its failure opens it for twice as long. Source: Nygard 2007, "Release
    It!", ch. 5. Safe to use from several threads.

    Args:
        failures: failures in a row that open it.
        rest_s: seconds of the first rest.
        longest_rest_s: the rest doubles up to this.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        *,
        failures: int,
        rest_s: float,
        longest_rest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._first_rest = rest_s
        self._longest_rest = longest_rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._rests = 0
        self._until: float | None = None
        self._trial_until: float | None = None
        self._last_error = ""
        self._last_occasion: object = None

    def allows(self) -> bool:
        """Whether the call may be made now; while half-open only one caller is told so."""
        with self._lock:
            if self._until is None:
                return True
            now = self._clock()
            if now < self._until or (self._trial_until is not None and now < self._trial_until):
                return False
            # A trial that never reports back must not close the door for ever.
            self._trial_until = now + max(self._first_rest, 1.0)
            return True

    def succeeded(self) -> None:
        """The call worked."""
        with self._lock:
            self._failures = self._rests = 0
            self._until = self._trial_until = None

    def failed(self, why: str, *, occasion: object = None) -> None:
        """The call failed.

        Args:
            why: in words, for `last_error`.
            occasion: identifies what failed; the same occasion, reported by several callers, counts once.
        """
        with self._lock:
            if occasion is not None and occasion == self._last_occasion:
                return
            self._last_occasion, self._last_error = occasion, why
            self._failures += 1
            if self._failures >= self._limit or self._until is not None:
                rest = min(self._first_rest * 2.0**self._rests, self._longest_rest)
                self._until, self._trial_until = self._clock() + rest, None
                self._rests = min(self._rests + 1, 60)

    @property
    def state(self) -> BreakerState:
        """Closed, open or half-open."""
        with self._lock:
            if self._until is None:
                return "closed"
            return "open" if self._clock() < self._until else "half-open"

    @property
    def failures(self) -> int:
        """Failures in a row so far."""
        return self._failures

    @property
    def last_error(self) -> str:
        """Why the last failing call failed; empty if none ever did."""
        return self._last_error

    @property
    def retry_in_s(self) -> float:
        """Seconds until a call may try again; 0 where one may now."""
        with self._lock:
            return 0.0 if self._until is None else max(self._until - self._clock(), 0.0)
