"""What waits to be written: jobs in order, decisions before bulk, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.codec import Row
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.tables import Settled

SLICE_BARS = 5_000
"""Bars of a warm-up that are written in one transaction, so that a decision never waits for all of them."""
_ROUND_ROWS = 20_000
"""Rows in one transaction, about."""


@dataclass(kw_only=True, eq=False)
class Job:
    """What one call wants written in one transaction."""

    entries: Sequence[tuple[str, Row]] = ()
    """Symbol, and values of `ENTRY_COLUMNS`."""
    bars: Sequence[tuple[str, Sequence[Bar]]] = ()
    settled: Sequence[Settled] = ()
    last: bool = True
    """False for all but the last part of a large job, which share one future."""
    future: Future[None] = field(default_factory=Future)
    rows: int = 0
    """Rows it writes."""

    def __post_init__(self) -> None:
        self.rows = len(self.entries) + self.bar_count + len(self.settled)

    @property
    def bar_count(self) -> int:
        """Bars it holds."""
        return sum(len(bars) for _, bars in self.bars)

    def succeed(self) -> None:
        """It is on disk; a future that has been told of a failure before is past."""
        if self.last and not self.future.done():
            self.future.set_result(None)

    def fail(self, error: JournalError) -> None:
        """It is not on disk, or not yet."""
        if not self.future.done():
            self.future.set_exception(error)


class Pending:
    """The jobs that are not on disk. Not thread-safe: the writer's lock is held around every call.

    Args:
        max_entries: decisions that may wait.
        max_bars: bars that may wait.
    """

    def __init__(self, max_entries: int, max_bars: int) -> None:
        self._max_entries = max_entries
        self._max_bars = max_bars
        self._urgent: deque[Job] = deque()
        self._bulk: deque[Job] = deque()
        self.entries = 0
        self.bars = 0
        self.refused = 0
        """Decisions that found no room."""

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    def __iter__(self) -> Iterator[Job]:
        yield from self._urgent
        yield from self._bulk

    def add(self, jobs: Sequence[Job]) -> bool:
        """Put one call's jobs at the end; False where there is no room for them."""
        entries, bars = sum(len(job.entries) for job in jobs), sum(job.bar_count for job in jobs)
        full = self.entries + entries > self._max_entries or self.bars + bars > self._max_bars
        if full and len(self):  # one call alone may be larger than all the room there is
            self.refused += entries
            return False
        for job in jobs:
            (self._urgent if job.entries else self._bulk).append(job)
        self.entries += entries
        self.bars += bars
        return True

    def round(self) -> list[Job]:
        """The jobs of the next transaction, which stay here until `done`: decisions first, then bulk."""
        chosen: list[Job] = []
        rows = 0
        for job in self:
            if chosen and rows + job.rows > _ROUND_ROWS:
                break
            chosen.append(job)
            rows += job.rows
            if not job.entries and rows >= SLICE_BARS:
                break
        return chosen

    def done(self, jobs: Sequence[Job]) -> None:
        """Take jobs of the last `round` out."""
        for job in jobs:
            (self._urgent if job.entries else self._bulk).remove(job)
            self.entries -= len(job.entries)
            self.bars -= job.bar_count


def jobs_of(entries: Sequence[tuple[str, Row]], bars: Mapping[str, Sequence[Bar]]) -> list[Job]:
    """One call as jobs: bars alone are cut into slices, decisions stay together with theirs."""
    parts = [(symbol, _sized(several)) for symbol, several in bars.items()]
    if entries or sum(len(several) for _, several in parts) <= SLICE_BARS:
        return [Job(entries=entries, bars=parts)]
    slices = [
        (symbol, several[first : first + SLICE_BARS])
        for symbol, several in parts
        for first in range(0, len(several), SLICE_BARS)
    ]
    future: Future[None] = Future()
    last = len(slices) - 1
    return [Job(bars=[piece], last=number == last, future=future) for number, piece in enumerate(slices)]


def _sized(bars: Sequence[Bar]) -> Sequence[Bar]:
    return bars if isinstance(bars, (list, tuple)) else list(bars)
