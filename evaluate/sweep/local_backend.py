"""Workers on this machine: this very process, or processes of joblib's loky."""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from joblib.externals.loky import ProcessPoolExecutor, cpu_count
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from quantum_trader.evaluate.sweep.outcome import Broke, Outcome, attempt, reason
from quantum_trader.evaluate.sweep.worker import begin_worker, limited_threads, thread_variables

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 2
"""A worker may die of what its neighbours do to the memory; dying twice is the job's own doing."""


class SerialPool(Generic[Job, Result]):
    """One job after the other in this process: for debuggers, and for machines without processes to spare."""

    def __init__(self, work: Callable[[Job], Result], threads: int) -> None:
        self._work, self._threads = work, threads
        self._next: deque[tuple[int, Job]] = deque()

    @property
    def room(self) -> int:
        """1 or 0."""
        return 1 - len(self._next)

    def start(self, index: int, job: Job) -> None:
        """Run it when asked for what is finished."""
        self._next.append((index, job))

    def finished(self) -> list[tuple[int, Outcome[Result]]]:
        """Run the job that was started."""
        index, job = self._next.popleft()
        with limited_threads(self._threads):
            return [(index, attempt(self._work, job))]

    def close(self, *, kill: bool) -> None:
        """Nothing to end."""


@dataclass(frozen=True, kw_only=True)
class _Running(Generic[Job]):
    index: int
    job: Job
    attempts: int
    worker: ProcessPoolExecutor


class LokyPool(Generic[Job, Result]):
    """Worker processes that live as long as the pool.

    Each worker is an executor of its own. In a common one, the death of a worker breaks all that runs beside
    it, and which job was to blame cannot be told.

    Args:
        work: what to do with a job.
        workers: processes at most; they start when first needed.
        threads: BLAS, OpenMP and torch threads of each.
    """

    def __init__(self, work: Callable[[Job], Result], workers: int, threads: int) -> None:
        self._work, self._workers, self._threads = work, workers, threads
        self._alive: set[ProcessPoolExecutor] = set()
        self._idle: list[ProcessPoolExecutor] = []
        self._running: dict[Future[Outcome[Result]], _Running[Job]] = {}

    @property
    def room(self) -> int:
        """Workers without a job."""
        return self._workers - len(self._running)

    def start(self, index: int, job: Job) -> None:
        """Give the job to an idle worker, or to a new one."""
        worker = self._idle.pop() if self._idle else self._new_worker()
        self._submit(_Running(index=index, job=job, attempts=1, worker=worker))

    def finished(self) -> list[tuple[int, Outcome[Result]]]:
        """Wait for outcomes; a job whose worker died is tried once more before that becomes its outcome."""
        found: list[tuple[int, Outcome[Result]]] = []
        while not found:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                running = self._running.pop(future)
                outcome = self._settle(future, running)
                if outcome is not None:
                    found.append((running.index, outcome))
        return found

    def close(self, *, kill: bool) -> None:
        """End all workers."""
        while self._alive:
            self._end(next(iter(self._alive)), kill=kill)

    def _settle(self, future: Future[Outcome[Result]], running: _Running[Job]) -> Outcome[Result] | None:
        """The outcome of a job that ended; None where it was started again."""
        error = future.exception()
        if not isinstance(error, BrokenProcessPool):
            self._idle.append(running.worker)
            # What was raised outside `attempt`: a job or a result that cannot be pickled, or SystemExit.
            return future.result() if error is None else Broke(reason=reason(error))
        self._end(running.worker, kill=True)
        if not isinstance(error, TerminatedWorkerError):
            return Broke(reason=reason(error.__cause__ or error))
        if running.attempts >= _ATTEMPTS:
            return Broke(
                reason=f"its worker process died {_ATTEMPTS} times, killed from outside or out of memory "
                f"({_exit_code(error)})"
            )
        _LOG.warning("the worker of %s died (%s); the job starts again", running.job, _exit_code(error))
        self._submit(replace(running, attempts=running.attempts + 1, worker=self._new_worker()))
        return None

    def _submit(self, running: _Running[Job]) -> None:
        try:
            future = running.worker.submit(attempt, self._work, running.job)
        except BrokenProcessPool:  # it died between two jobs, which is nobody's doing
            self._end(running.worker, kill=True)
            running = replace(running, worker=self._new_worker())
            future = running.worker.submit(attempt, self._work, running.job)
        self._running[future] = running

    def _new_worker(self) -> ProcessPoolExecutor:
        worker = ProcessPoolExecutor(
            max_workers=1,
            env=thread_variables(self._threads),
            initializer=begin_worker,
            initargs=(os.getpid(),),
        )
        self._alive.add(worker)
        return worker

    def _end(self, worker: ProcessPoolExecutor, *, kill: bool) -> None:
        worker.shutdown(wait=True, kill_workers=kill)
        self._alive.discard(worker)


def worker_count(asked: int, jobs: int, threads: int) -> int:
    """Processes to use: as many as asked for, 0 as many as the cores have room for; at most the jobs.

    The cores are those this process may use, by its affinity and its container's quota.
    """
    return max(1, min(asked or cpu_count() // threads, jobs))


def _exit_code(error: TerminatedWorkerError) -> str:
    """What the system said of the dead process, e.g. "SIGKILL(-9)"; loky tells it in words only."""
    found = re.search(r"\{(.+)\}", str(error))
    return found.group(1) if found else "exit code unknown"
