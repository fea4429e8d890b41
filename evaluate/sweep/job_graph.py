"""Which jobs of a sweep can start, which wait, and which never will."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TypeVar

from quantum_trader.evaluate.sweep.errors import SweepError

Key = TypeVar("Key", bound=Hashable)


class JobGraph:
    """Jobs by their number, 0, 1, ..., each ready once all it needs are done.

    Of the jobs that are ready, those with lower numbers come first.

    Args:
        keys: a key for each job, unique.
        needs: keys that each key waits for; a key that is not in `keys` counts as done before.

    Raises:
        SweepError: a key stands there twice, or jobs wait for each other in a circle.
    """

    def __init__(self, keys: Sequence[Key], needs: Mapping[Key, Sequence[Key]]) -> None:
        index = _indexed(keys)
        self._missing = [{index[need] for need in needs.get(own, ()) if need in index} for own in keys]
        self._waiting: list[list[int]] = [[] for _ in keys]
        for waits, missing in enumerate(self._missing):
            for need in missing:
                self._waiting[need].append(waits)
        self._open = set(range(len(keys)))
        self._ready = [job for job, missing in enumerate(self._missing) if not missing]
        heapify(self._ready)
        self._refuse_circles(keys)

    @property
    def open(self) -> int:
        """Number of jobs that are neither done, nor failed, nor skipped."""
        return len(self._open)

    def take(self) -> int | None:
        """The next job to start; None while all that are open run already or wait."""
        return heappop(self._ready) if self._ready else None

    def done(self, job: int) -> None:
        """Note that `job` succeeded, which may make others ready."""
        self._open.remove(job)
        for waits in self._waiting[job]:
            self._missing[waits].discard(job)
            if not self._missing[waits] and waits in self._open:
                heappush(self._ready, waits)

    def failed(self, job: int) -> list[int]:
        """Note that `job` failed.

        Returns:
            The jobs that can no longer run since they need it, directly or through others, in their order.
        """
        self._open.remove(job)
        lost = sorted(self._behind(job) & self._open)
        self._open.difference_update(lost)
        return lost

    def _behind(self, job: int) -> set[int]:
        found: set[int] = set()
        front = [job]
        while front:
            further = [waits for waits in self._waiting[front.pop()] if waits not in found]
            found.update(further)
            front += further
        return found

    def _refuse_circles(self, keys: Sequence[Key]) -> None:
        """Take everything that can be reached; what is left waits for itself."""
        left = [len(missing) for missing in self._missing]
        front, reached = list(self._ready), 0
        while front:
            reached += 1
            for waits in self._waiting[front.pop()]:
                left[waits] -= 1
                if left[waits] == 0:
                    front.append(waits)
        if reached < len(keys):
            names = ", ".join(str(own) for own, missing in zip(keys, left, strict=True) if missing)
            raise SweepError(
                f"Jobs must not wait for each other in a circle, which keeps these from starting: {names}."
            )


def _indexed(keys: Sequence[Key]) -> dict[Key, int]:
    index: dict[Key, int] = {}
    for position, own in enumerate(keys):
        if own in index:
            raise SweepError(f"Each job needs a key of its own, found {own!r} twice: give each job once.")
        index[own] = position
    return index
