"""Ctrl-C held back until the work is at a point from which it can go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class HeldInterrupt:
    """Context in which the first Ctrl-C only sets `requested`; a second one stops at once.

    Raising in the middle of an optimiser step would leave half-updated weights that no checkpoint can hold.
    Signals reach the main thread only: elsewhere this context does nothing. A request that nobody acted on is
    raised at the end.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: Any = None
        self._held = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(signal.SIGINT, self._note)
            self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            signal.signal(signal.SIGINT, self._former)
        if self.requested and kind is None:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
