"""`Writer`: the one thread of a process that writes to the journal."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from quantum_trader.serve.journal.checkpoint import Checkpoints
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.connection import (
    explained,
    is_outside_fault,
    needs_reopening,
    open_writer,
    patiently,
    transaction,
)
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.pending import Job, Pending
from quantum_trader.serve.journal.tables import Tables

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
"""Between two attempts while writing fails."""
_IDLE_S = 0.5
_BUSY_MS = 1_000
"""How long SQLite itself waits for another connection, before it is asked again."""
_LATENCIES = 1_000


class _Replaced(Exception):
    """The file that was written to is no longer the one at the journal's path."""


class Writer(threading.Thread):
    """Everything that waits goes into one transaction: a commit costs the same for one decision as for many.

    While writing fails (full disk, read-only file, another program in the way) every job's future fails with
    the reason, the jobs stay, and writing is tried again until it works. A job that cannot be written for
    its own fault fails alone.

    Args:
        path: the journal's file.
        config: limits.

    Raises:
        JournalError: the file cannot be opened.
    """

    def __init__(self, path: Path, config: JournalConfig) -> None:
        super().__init__(name="journal-writer", daemon=True)
        self._path = path
        self._config = config
        self._wake = threading.Condition()
        self._pending = Pending(config.max_pending, config.max_pending_bars)
        self._closing = False
        self._fault: JournalError | None = None
        self._reopen = False
        self._pause_s = _FIRST_PAUSE_S
        self._milliseconds: deque[float] = deque(maxlen=_LATENCIES)
        self._connection = self._connect()

    @property
    def fault(self) -> str:
        """Why writing fails at the moment; empty while it works."""
        fault = self._fault
        return "" if fault is None else str(fault)

    @property
    def waiting(self) -> int:
        """Decisions that are not on disk yet."""
        return self._pending.entries

    @property
    def refused(self) -> int:
        """Decisions that found no room and were never taken on."""
        return self._pending.refused

    @property
    def milliseconds(self) -> list[float]:
        """How long each of the newest transactions took."""
        with self._wake:
            return list(self._milliseconds)

    def submit(self, jobs: Sequence[Job]) -> Future[None]:
        """Take one call's jobs on; the future that they share is done when all are on disk, or failed."""
        last = jobs[-1]
        last.future.set_running_or_notify_cancel()  # what has been taken on is written: no cancelling
        with self._wake:
            if self._closing:
                last.fail(JournalError(f"{self._path}: the journal is closed; open it again."))
            elif not self._pending.add(jobs):
                last.fail(JournalError(self._no_room()))
            else:
                if self._fault is not None:  # kept, and written when that has passed: nobody waits for it
                    last.fail(self._fault)
                self._wake.notify()
        return last.future

    def close(self, timeout_s: float) -> None:
        """Write what waits, if it can be written within the time, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self.join(timeout_s)

    def run(self) -> None:
        """Write until closed; whatever happens, no future is left waiting for ever."""
        try:
            while self._round():
                pass
        finally:
            with self._wake:
                self._closing = True
                for job in self._pending:
                    job.fail(JournalError(f"{self._path}: the journal was closed before this was written."))
                if self._pending.entries:
                    _log.error("%s: closed with %d decisions unwritten", self._path, self._pending.entries)
            self._connection.close()

    def _round(self) -> bool:
        """Write what waits, or put the file in order; False when closed and nothing is left."""
        with self._wake:
            if not len(self._pending) and not self._closing:
                self._wake.wait(_IDLE_S if self._checkpoints.due else None)
            jobs, closing = self._pending.round(), self._closing
        if not jobs:
            self._checkpoints.when_idle()
            return not closing
        try:
            self._write(jobs)
        except Exception as error:
            # Whatever it is, the thread must live on: without it nothing would ever be written again.
            self._failed(error)
            return not closing
        return True

    def _write(self, jobs: Sequence[Job]) -> None:
        """One transaction for all; where the rows are at fault, one for each, so that only theirs fails."""
        try:
            self._commit(jobs)
        except Exception as error:
            if is_outside_fault(error) or isinstance(error, (_Replaced, JournalError)):
                raise
            if len(jobs) == 1:
                _log.error("%s: a record cannot be kept", self._path, exc_info=error)
                self._drop(jobs[0], JournalError(f"{self._path}: the record cannot be kept ({error})."))
                return
            for job in jobs:
                self._write([job])

    def _commit(self, jobs: Sequence[Job]) -> None:
        if self._reopen:
            old, self._connection = self._connection, self._connect()
            old.close()
        started = time.perf_counter()
        patiently(lambda: self._transact(jobs), patience_s=self._config.busy_s)
        if self._checkpoints.file_was_replaced:
            raise _Replaced
        elapsed = (time.perf_counter() - started) * 1000
        with self._wake:
            self._fault = None
            self._pause_s = _FIRST_PAUSE_S
            self._milliseconds.append(elapsed)
            self._pending.done(jobs)
        for job in jobs:
            job.succeed()
        self._checkpoints.after_commit(sum(job.rows for job in jobs))

    def _transact(self, jobs: Sequence[Job]) -> None:
        try:
            with transaction(self._connection):
                for job in jobs:
                    for symbol, row in job.entries:
                        self._tables.add_decision(symbol, row)
                    for symbol, bars in job.bars:
                        self._tables.add_bars(symbol, bars)
                    for settled in job.settled:
                        self._tables.settle(settled)
                self._tables.finish()
        except BaseException:
            self._tables.undo()
            raise

    def _failed(self, error: Exception) -> None:
        """Tell everybody who waits, and pause."""
        if isinstance(error, _Replaced):
            _log.warning("%s: the file was moved or deleted; a new one is begun", self._path)
            self._reopen = True
            return
        fault = error if isinstance(error, JournalError) else explained(error, self._path)
        self._reopen = self._reopen or needs_reopening(error)
        with self._wake:
            if self._fault is None:
                _log.error("%s", fault)
            self._fault = fault
            for job in self._pending:
                job.fail(fault)
            if not self._closing:
                deadline = time.monotonic() + self._pause_s
                while not self._closing and (left := deadline - time.monotonic()) > 0:
                    self._wake.wait(left)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _drop(self, job: Job, error: JournalError) -> None:
        with self._wake:
            self._pending.done([job])
        job.fail(error)

    def _connect(self) -> sqlite3.Connection:
        connection = open_writer(self._path, busy_ms=_BUSY_MS, checkpoint_by_itself=False)
        self._tables = Tables(connection)
        self._checkpoints = Checkpoints(connection, self._path, _BUSY_MS)
        self._reopen = False
        return connection

    def _no_room(self) -> str:
        return (
            f"{self._path}: {self._pending.entries:,} decisions wait to be written, more are not kept; "
            f"mend what is in the way{f' ({self._fault})' if self._fault else ''}."
        )
