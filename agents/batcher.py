"""`Batcher`: callers that wait at the same time share one pass through a model."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from quantum_trader.agents.signals import ModelInputs

Result = TypeVar("Result")

ROWS = 256
"""Most rows of a joined pass."""
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
        self._jobs: queue.SimpleQueue[Job[Result]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive = False
        self._held: Job[Result] | None = None
        self.passes = 0
        """Passes begun so far: the number of the one under way."""

    def submit(self, inputs: ModelInputs) -> Future[Result]:
        """Answer `inputs` as soon as the pass under way is over; a cancelled future is not begun."""
        job: Job[Result] = Job(inputs=inputs)
        with self._lock:
            self._jobs.put(job)
            if not self._alive:
                self._alive = True
                threading.Thread(target=self._work, name="arbiter", daemon=True).start()
        return job.future

    def _work(self) -> None:
        while True:
            try:
                first = self._held or self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._alive = False
                        return
                continue
            self._held = None
            jobs = [job for job in self._waiting_with(first) if job.future.set_running_or_notify_cancel()]
            if jobs:
                self._serve(jobs)

    def _waiting_with(self, first: Job[Result]) -> list[Job[Result]]:
        """`first` and what waits behind it, as far as it fits into one pass."""
        jobs, rows = [first], len(first.inputs)
        while rows < ROWS and not self._jobs.empty():
            job = self._jobs.get()
            if rows + len(job.inputs) > ROWS:
                self._held = job
                break
            jobs.append(job)
            rows += len(job.inputs)
        return jobs

    def _serve(self, jobs: list[Job[Result]]) -> None:
        self.passes += 1
        try:
            result = self._answer(_joined([job.inputs for job in jobs]))
        except BaseException as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._serve([job])
            return
        if len(jobs) == 1:
            jobs[0].future.set_result(result)
            return
        start = 0
        for job in jobs:
            stop = start + len(job.inputs)
            job.future.set_result(self._part(result, slice(start, stop)))
            start = stop


def _joined(parts: list[ModelInputs]) -> ModelInputs:
    if len(parts) == 1:
        return parts[0]
    return ModelInputs(
        windows=np.concatenate([part.windows for part in parts]),
        context=np.concatenate([part.context for part in parts]),
    )
