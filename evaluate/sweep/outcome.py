"""What comes back from a job: `attempt` runs it where it is and never raises an ordinary error."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Job_contra = TypeVar("Job_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Returned(Generic[Result_co]):
    """The job came to its end."""

    value: Result_co


@dataclass(frozen=True, kw_only=True)
class Broke:
    """The job raised, or its worker died."""

    reason: str
    """One line."""
    trace: str = ""
    """Where it was raised; empty where nothing is known."""


Outcome: TypeAlias = Returned[Result] | Broke


class Pool(Protocol[Job_contra, Result]):
    """Workers of one kind, in a `with` block; leaving it on an error kills them and what they do."""

    @property
    def room(self) -> int:
        """How many more jobs may be started now."""
        ...

    def start(self, index: int, job: Job_contra) -> None:
        """Run a job; `index` comes back with its outcome."""
        ...

    def finished(self) -> list[tuple[int, Outcome[Result]]]:
        """Wait until at least one job is finished; each is told once."""
        ...

    def close(self, *, kill: bool) -> None:
        """End the workers: at once with `kill`, else they have nothing left to do."""
        ...


def attempt(work: Callable[[Job], Result], job: Job) -> Outcome[Result]:
    """Run `work` on `job`.

    An error becomes text here, in the process it came up in: an exception object may not survive the way
    to another process, and one that cannot be unpickled would take the whole pool with it.
    """
    try:
        return Returned(value=work(job))
    except (Exception, SystemExit) as error:
        return Broke(reason=reason(error), trace=traceback.format_exc())


def reason(error: BaseException) -> str:
    """Kind and text of an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
