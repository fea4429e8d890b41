"""`VenueClock`: the venue's time, without asking for it every time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from quantum_trader.serve.live.errors import FeedError

VALID_S = 300.0
"""Seconds after which the venue is asked again: quartz drifts a few milliseconds in that time."""
_JUMP_MS = 2_000.0
"""A change larger than this is believed when a second answer confirms it."""
_SLOW_S = 5.0
"""An answer that took longer than this says too little about the time."""


class VenueClock:
    """Milliseconds since the epoch by the venue's clock.

    What counts is the venue's time at the last answer and the monotonic clock since then. This machine's own
    clock is not used: it may be hours off, and may jump. It only serves to notice that the machine slept,
    during which the monotonic clock of some systems stands still.

    Args:
        ask: the venue's clock, milliseconds since the epoch.
        monotonic, wall: seconds.
    """

    def __init__(
        self,
        ask: Callable[[], int],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()
        self._anchor: tuple[float, float, float] | None = None
        """Venue's milliseconds, and this machine's seconds by both clocks, at one moment."""

    def now_ms(self) -> int:
        """The venue's time.

        Raises:
            FeedError: `sync` has not succeeded yet.
        """
        anchor = self._anchor
        if anchor is None:
            raise FeedError("the exchange's clock is not known yet")
        venue_ms, monotonic_s, _ = anchor
        return int(venue_ms + (self._monotonic() - monotonic_s) * 1000.0)

    @property
    def offset_ms(self) -> int:
        """How far the venue's clock is ahead of this machine's, milliseconds; 0 before `sync`."""
        return 0 if self._anchor is None else self.now_ms() - int(self._wall() * 1000.0)

    @property
    def doubtful(self) -> bool:
        """Whether `sync` is due: the last answer is old, or this machine slept or had its clock set."""
        anchor = self._anchor
        if anchor is None:
            return True
        _, monotonic_s, wall_s = anchor
        passed = self._monotonic() - monotonic_s
        return passed > VALID_S or abs((self._wall() - wall_s) - passed) > _JUMP_MS / 1000.0

    def sync(self) -> None:
        """Ask the venue.

        Raises:
            FeedError: no answer; the clock goes on as before.
        """
        with self._lock:
            found = self._measured()
            if self._anchor is not None and found is not None and self._jump(found) > _JUMP_MS:
                again = self._measured()  # one wrong answer must not make an open bar look closed
                if again is None or abs(_at(again, found[1]) - found[0]) > _JUMP_MS:
                    return
                found = again
            if found is not None:
                self._anchor = found

    def _measured(self) -> tuple[float, float, float] | None:
        """The venue's time at the middle between question and answer; None where that took too long."""
        asked = self._monotonic()
        venue_ms = self._ask()
        answered = self._monotonic()
        if answered - asked > _SLOW_S and self._anchor is not None:
            return None
        return venue_ms + (answered - asked) * 500.0, answered, self._wall()

    def _jump(self, found: tuple[float, float, float]) -> float:
        assert self._anchor is not None
        return abs(_at(self._anchor, found[1]) - found[0])


def _at(anchor: tuple[float, float, float], monotonic_s: float) -> float:
    """The venue's milliseconds that `anchor` foretells for a moment of the monotonic clock."""
    return anchor[0] + (monotonic_s - anchor[1]) * 1000.0
