"""`Journal`: every bar, decision and outcome, acknowledged once it is on disk."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.checkpoint import wal_bytes
from quantum_trader.serve.journal.codec import entry_row
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.pending import Job, jobs_of
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.records import Entry, JournalState
from quantum_trader.serve.journal.tables import Settled
from quantum_trader.serve.journal.writer import Writer

_CLOSE_S = 15.0
_USUAL = JournalConfig()


class Journal:
    """The writing end of a journal; any number of processes may have one on the same file.

    Everything goes through one thread, which puts all that waits into one transaction; callers get a future
    that is done when the commit is on disk (WAL, synchronous=FULL): what has been acknowledged survives
    kill -9 and a power cut. Nothing here blocks: while the disk is full or the file cannot be written,
    futures fail with the reason at once, and up to `max_pending` decisions are kept and written as soon as
    that has passed.

    What is known stays: the first decision on a bar is kept, a second one is only counted
    (`repeated_decisions`, and `differing_decisions` if it says something else); the same holds for bars.

    Args:
        path: the SQLite file; made with its folder where missing. It needs a local disk: no network folder.
        config: limits.

    Raises:
        JournalError: the file cannot be opened, is damaged, is no journal, or is of a newer version.
    """

    def __init__(self, path: Path, config: JournalConfig = _USUAL) -> None:
        self.path = Path(path)
        self._process = os.getpid()
        self._writer = Writer(self.path, config)
        self._reader = JournalReader(self.path)
        self._last_state = JournalState(path=str(self.path), decisions=0, outcomes=0, bars=0, bytes=0)
        self._writer.start()
        atexit.register(self.close)

    @property
    def reader(self) -> JournalReader:
        """The reading end; thread-safe."""
        return self._reader

    def record(self, entries: Sequence[Entry], bars: Mapping[str, Sequence[Bar]]) -> Future[None]:
        """Keep decisions and closed bars.

        Args:
            entries: decisions.
            bars: closed bars by symbol, oldest first; those known already are skipped.

        Returns:
            A future that is done once all of it is on disk. It fails with a `JournalError` where it is not:
            the message says why, and whether trying again is left to the journal follows from `state()`.
        """
        try:
            rows = [(entry.symbol, entry_row(entry)) for entry in entries]
        except JournalError as error:
            return _failed(error)
        return self._submit(jobs_of(rows, bars))

    def settle(self, settled: Sequence[Settled]) -> Future[None]:
        """Write what became of decisions; see `quantum_trader.serve.journal.outcomes`."""
        return self._submit([Job(settled=settled)])

    def state(self) -> JournalState:
        """How the journal does; figures of the file are the last known where it cannot be read.

        `extra` holds: wal_bytes; waiting and void decisions; repeated_decisions, differing_decisions,
        repeated_bars, differing_bars; refused_entries (decisions that found no room in memory);
        commit_p50_ms and commit_p99_ms of this process's newest transactions.
        """
        with contextlib.suppress(JournalError):  # the writer's fault says why
            self._last_state = self._reader.state()
        known, times = self._last_state, self._writer.milliseconds
        p50, p99 = np.percentile(times, (50, 99)) if times else (0.0, 0.0)
        own = {
            "wal_bytes": float(wal_bytes(self.path)),
            "refused_entries": float(self._writer.refused),
            "commit_p50_ms": float(p50),
            "commit_p99_ms": float(p99),
        }
        return JournalState(
            path=known.path,
            decisions=known.decisions,
            outcomes=known.outcomes,
            bars=known.bars,
            bytes=known.bytes,
            pending=self._writer.waiting,
            fault=self._writer.fault,
            extra={**known.extra, **own},
        )

    def close(self) -> None:
        """Write what waits, as far as that is possible, and close; calling it again does nothing."""
        if os.getpid() != self._process:  # a fork: the thread and the file's locks are the parent's
            return
        atexit.unregister(self.close)
        self._reader.close()  # first: the last to close empties the write-ahead log, which readers cannot
        self._writer.close(_CLOSE_S)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, jobs: Sequence[Job]) -> Future[None]:
        if os.getpid() != self._process:
            return _failed(JournalError(f"{self.path}: this process was forked; open the journal again."))
        return self._writer.submit(jobs)


def _failed(error: JournalError) -> Future[None]:
    future: Future[None] = Future()
    future.set_exception(error)
    return future
