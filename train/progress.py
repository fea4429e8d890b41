"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows how far some work has come, its figures, its speed and the time left.

    Use it as a context manager, or call `close` at the end.

    Args:
        name: what is being worked on.
        total: units of work in all.
        unit: what is counted, in the plural.
        start: units already done, e.g. before a resumed training was cut off.
        stream: where to write; standard error by default.
        every: seconds between two plain lines.
        clock: seconds, monotonic; tests give their own.
    """

    def __init__(
        self,
        name: str,
        *,
        total: int,
        unit: str,
        start: int = 0,
        stream: TextIO | None = None,
        every: float = _SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._total, self._unit = name, total, unit
        self._stream = stream if stream is not None else sys.stderr
        self._every, self._clock = every, clock
        self._start, self._done = start, start
        self._begun = self._last = clock()
        self._figures = ""
        self._shown = start
        self._bar = self._open_bar() if self._stream.isatty() else None

    def update(self, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Report `done` units since the very beginning, and the latest figures by name."""
        self._done = done
        self._figures = " ".join(f"{name} {value:.4g}" for name, value in (figures or {}).items())
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._clock() - self._last >= self._every:
            self._write_line()

    @property
    def rate(self) -> float:
        """Units per second since the start, 0 before any."""
        seconds = self._clock() - self._begun
        return (self._done - self._start) / seconds if seconds > 0 else 0.0

    def close(self) -> None:
        """End the bar, or write a last line if anything happened since the one before."""
        if self._bar is not None:
            self._bar.close()
        elif self._done != self._shown:
            self._write_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_bar(self) -> Any:
        from tqdm import tqdm

        return tqdm(
            desc=self._name,
            total=self._total,
            initial=self._start,
            unit=f" {self._unit}",
            file=self._stream,
            leave=False,
            dynamic_ncols=True,
        )

    def _write_line(self) -> None:
        self._last, self._shown = self._clock(), self._done
        parts = [f"{self._name}: {self._done:,}/{self._total:,} {self._unit}", f"{self.rate:,.0f}/s"]
        if self.rate > 0:
            parts.append(f"{_duration((self._total - self._done) / self.rate)} left")
        if self._figures:
            parts.append(self._figures)
        self._stream.write(", ".join(parts) + "\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
