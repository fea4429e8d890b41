"""`Batcher`: callers that wait at the same time share one pass through a model."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from quantum_trader.agents.signals import ModelInputs

Result = TypeVar("Result")

ROWS = 256
"""Most rows of a joined pass."""
STOP_S = 5.0
"""Seconds that the end of the program waits for a pass under way."""
IDLE_S = 5.0
"""Seconds without work after which the thread ends; the next job starts another."""


@dataclass(kw_only=True, eq=False)
class Job(Generic[Result]):
    """One caller's rows."""

    inputs: ModelInputs
    future: Future[Result] = field(default_factory=Future)


class Batcher(Generic[Result]):
    """One thread that takes every waiting job and answers them in one pass.

    A row's answer does not depend on the rows beside it, so joining changes nothing but the time: a hundred
    callers with one row each cost little more than one with a hundred. If a joined pass fails each of its
    jobs is tried alone, so that no caller pays for another's rows.

    Args:
        answer: the pass.
        part: `part(result, rows)` is the result of those rows alone.
    """

    def __init__(
        self, answer: Callable[[ModelInputs], Result], part: Callable[[Result, slice], Result]
    ) -> None:
        self._answer = answer
        self._part = part
        self._jobs: queue.SimpleQueue[Job[Result] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive = False
        self._thread: threading.Thread | None = None
        self._held: Job[Result] | None = None
        self.passes = 0
        """Passes begun so far: the number of the one under way."""
        self._begun: float | None = None

    @property
    def lasting_s(self) -> float:
        """Seconds since the pass under way began; 0 where there is none."""
        begun, thread = self._begun, self._thread
        # A process forked in the middle of a pass has its beginning, and no thread that ends it.
        running = begun is not None and thread is not None and thread.is_alive()
        return time.monotonic() - begun if running and begun is not None else 0.0

    def submit(self, inputs: ModelInputs) -> Future[Result]:
        """Answer `inputs` as soon as the pass under way is over; a cancelled future is not begun."""
        job: Job[Result] = Job(inputs=inputs)
        with self._lock:
            self._jobs.put(job)
            # A thread does not live on in a forked process, and may fail to start where there are too many.
            if not self._alive or self._thread is None or not self._thread.is_alive():
                self._alive = True
                self._thread = threading.Thread(target=self._work, name="arbiter", daemon=True)
                _RUNNING.add(self)
                self._thread.start()
        return job.future

    def stop(self) -> None:
        """End the thread once its pass is over; the next job starts another."""
        with self._lock:
            thread = self._thread if self._alive else None
            if thread is not None:
                self._jobs.put(None)
        if thread is not None:
            thread.join(STOP_S)

    def _work(self) -> None:
        while True:
            try:
                first = self._held or self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                first = None
            self._held = None
            if first is None:
                with self._lock:
                    if self._jobs.empty():
                        self._alive = False
                        return
                continue
            jobs = [job for job in self._waiting_with(first) if job.future.set_running_or_notify_cancel()]
            if jobs:
                self._serve(jobs)
                self._begun = None

    def _waiting_with(self, first: Job[Result]) -> list[Job[Result]]:
        """`first` and what waits behind it, as far as it fits into one pass."""
        jobs, rows = [first], len(first.inputs)
        while rows < ROWS and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:  # the end is near, but not before those who wait have their answers
                self._jobs.put(None)
                break
            if rows + len(job.inputs) > ROWS:
                self._held = job
                break
            jobs.append(job)
            rows += len(job.inputs)
        return jobs

    def _serve(self, jobs: list[Job[Result]]) -> None:
        self.passes += 1
        self._begun = time.monotonic()
        try:
            result = self._answer(_joined([job.inputs for job in jobs]))
            results = [result] if len(jobs) == 1 else self._parts(result, jobs)
        except BaseException as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._serve([job])
            return
        for job, own in zip(jobs, results, strict=True):
            job.future.set_result(own)

    def _parts(self, result: Result, jobs: list[Job[Result]]) -> list[Result]:
        """Each job's own rows of a joined pass."""
        stops = np.cumsum([len(job.inputs) for job in jobs]).tolist()
        return [self._part(result, slice(a, b)) for a, b in zip([0, *stops], stops, strict=False)]


# A daemon thread that is cut off inside a native library takes the whole process down with it.
_RUNNING: weakref.WeakSet[Batcher[Any]] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for batcher in list(_RUNNING):
        batcher.stop()


def _joined(parts: list[ModelInputs]) -> ModelInputs:
    if len(parts) == 1:
        return parts[0]
    return ModelInputs(
        windows=np.concatenate([part.windows for part in parts]),
        context=np.concatenate([part.context for part in parts]),
    )
