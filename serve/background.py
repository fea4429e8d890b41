"""`Background`: one job that a thread repeats whenever there may be something to do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from quantum_trader.serve.journal.errors import JournalError

_log = logging.getLogger(__name__)

_PAUSE_S = 0.2
"""Between two runs: many wakes in a row are one run."""
_AFTER_ERROR_S = 5.0


class Background:
    """Runs `action` in a thread of its own after `wake`, never twice at once.

    An error is logged and ends nothing: the next wake tries again.

    Args:
        action: what to do.
        name: of the thread.
    """

    def __init__(self, action: Callable[[], object], *, name: str) -> None:
        self._action = action
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to do; returns at once."""
        self._wanted.set()

    def close(self, timeout_s: float = 30.0) -> None:
        """Finish what is under way and end; calling it again does nothing."""
        self._closing.set()
        self._wanted.set()
        self._thread.join(timeout_s)

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._wanted.wait()
            if self._closing.is_set():
                return
            self._wanted.clear()
            self._closing.wait(_PAUSE_S if self._run() else _AFTER_ERROR_S)

    def _run(self) -> bool:
        started = time.monotonic()
        try:
            self._action()
        except (JournalError, TimeoutError) as error:
            # The journal says itself what is wrong with it; here it only means: later.
            _log.warning("%s: put off (%s)", self._thread.name, error)
            return False
        except Exception:
            _log.exception("%s failed after %.1f s", self._thread.name, time.monotonic() - started)
            return False
        return True
