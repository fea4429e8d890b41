"""`TimedMember`: one member of the Panel, asked within its time and left to rest while it keeps failing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeout
from typing import Generic, TypeVar

from quantum_trader.agents.batcher import Batcher
from quantum_trader.agents.breaker import CircuitBreaker
from quantum_trader.agents.signals import ModelInputs

Result = TypeVar("Result")

RESTING = "resting after failures"
HANG_S = 5.0
"""A pass that is late counts as one failure, and as one more whenever it lasts as long again."""

_log = logging.getLogger(__name__)


class Question(Generic[Result]):
    """What a member was asked; waits for the answer when it is wanted, and keeps it.

    Args:
        find: waits; gives the answer, or None and why there is none.
    """

    def __init__(self, find: Callable[[], tuple[Result | None, str]]) -> None:
        self._find = find
        self._found: tuple[Result | None, str] | None = None

    def answer(self) -> tuple[Result | None, str]:
        """The answer, or None and why there is none."""
        if self._found is None:
            self._found = self._find()
        return self._found


class TimedMember(Generic[Result]):
    """Asks one member for many callers: they share passes, and nobody waits for longer than its budget.

    Args:
        title: what reasons call the member.
        answer: one pass through it; `guarded` as in `ask`.
        part: `part(result, rows)` is the result of those rows alone.
        breaker: told how guarded passes end.
        budget_ms: milliseconds that a guarded caller waits; 0 waits for ever.
        fault: what is wrong with a result although nothing was raised, "" where nothing is.
    """

    def __init__(
        self,
        title: str,
        answer: Callable[[ModelInputs, bool], Result],
        part: Callable[[Result, slice], Result],
        breaker: CircuitBreaker,
        *,
        budget_ms: Callable[[], float],
        fault: Callable[[Result], str] = lambda _: "",
    ) -> None:
        self.title = title
        self.breaker = breaker
        self.batcher: Batcher[Result] = Batcher(self._pass, part)
        self._answer = answer
        self._budget_ms = budget_ms
        self._fault = fault

    def ask(self, inputs: ModelInputs, *, guarded: bool) -> Question[Result]:
        """Begin to ask; other members may be asked before the answer is waited for.

        Args:
            inputs: `B` observations.
            guarded: in live use, with a budget and a breaker. Else the member is asked in the caller's
                thread, when the answer is wanted, for as long as it takes.
        """
        if not guarded:
            return Question(lambda: self._tried(lambda: self._answer(inputs, False)))
        if not self.breaker.allows():
            return Question(lambda: (None, f"{self.title} {RESTING}"))
        if self._overdue():
            # Whoever waited too would be given the same answer later, call after call.
            return Question(lambda: (None, self._late()))
        future, asked = self.batcher.submit(inputs), time.monotonic()
        return Question(lambda: self._tried(lambda: self._wait(future, asked)))

    def _overdue(self) -> bool:
        """Whether the pass under way has been given up already."""
        budget_ms = self._budget_ms()
        return 0 < budget_ms < self.batcher.lasting_s * 1000

    def _tried(self, wait: Callable[[], Result]) -> tuple[Result | None, str]:
        """A bot must get a decision whatever a model does: the fault is logged and put into words."""
        try:
            return wait(), ""
        except _Late as late:
            return None, str(late)
        except Exception as error:
            _log.exception("%s failed; the others decide", self.title)
            return None, self._failure(error)

    def _wait(self, future: Future[Result], asked: float) -> Result:
        budget_ms = self._budget_ms()
        left = asked + budget_ms / 1000 - time.monotonic()
        try:
            return future.result(timeout=max(left, 0.0) if budget_ms > 0 else None)
        except FutureTimeout:
            if future.done():  # just in time, or the model's own TimeoutError
                return future.result()
        future.cancel()
        raise _Late(self._late())

    def _late(self) -> str:
        """Tell the breaker, once for all who wait for the same pass; what is late, in words."""
        late = f"{self.title} took longer than {self._budget_ms():g} ms"
        self.breaker.failed(late, occasion=(self.batcher.passes, self.batcher.lasting_s // HANG_S))
        return late

    def _pass(self, inputs: ModelInputs) -> Result:
        """One pass, and what the breaker makes of it: a late answer is not a success."""
        started = time.monotonic()
        try:
            found = self._answer(inputs, True)
        except Exception as error:
            self.breaker.failed(self._failure(error))
            raise
        budget_ms = self._budget_ms()
        fault = self._fault(found)
        if fault:
            self.breaker.failed(fault)
        elif budget_ms <= 0 or time.monotonic() - started <= budget_ms / 1000:
            self.breaker.succeeded()
        return found

    def _failure(self, error: Exception) -> str:
        return f"{self.title} failed ({type(error).__name__})"


class _Late(Exception):
    """Nobody waits any longer."""
