"""Rounds: waiting requests share passes through the models, in threads, in order, and within bounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.service.errors import overloaded, stopping

Answer = TypeVar("Answer")


class _Request(Generic[Answer]):
    """One caller's bars and the answers it has so far."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.missing = count
        self.answers: dict[str, Answer] = {}
        self.done: asyncio.Future[dict[str, Answer]] = loop.create_future()

    def take(self, symbol: str, answer: Answer) -> None:
        self.answers[symbol] = answer
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(self.answers)

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Item(Generic[Answer]):
    symbol: str
    bar: Bar
    request: _Request[Answer]


class Rounds(Generic[Answer]):
    """Bars that wait are decided in rounds of up to `round_symbols` different symbols.

    A hundred requests at once thus cost a few passes through the models instead of a hundred, and a request
    of thousands of symbols cannot use up the Arbiter's latency budget in one pass. Bars of one symbol are
    decided in the order in which they came, never two at once. All state belongs to the event loop's thread.

    Args:
        decide: blocking; from bar by symbol to answer by symbol.
        workers: rounds under way at once, each in a thread.
        round_symbols: most symbols a round.
        max_waiting: bars waiting or under way beyond which `ask` refuses.
    """

    def __init__(
        self,
        decide: Callable[[Mapping[str, Bar]], Mapping[str, Answer]],
        *,
        workers: int,
        round_symbols: int,
        max_waiting: int,
    ) -> None:
        self._decide = decide
        self._workers, self._round_symbols, self._max_waiting = workers, round_symbols, max_waiting
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="decide")
        self._queue: deque[_Item[Answer]] = deque()
        self._busy: set[str] = set()
        self._running = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Bars accepted and not answered yet."""
        return len(self._queue) + len(self._busy)

    async def ask(self, bars: Mapping[str, Bar]) -> dict[str, Answer]:
        """Answers for `bars`; bars whose round has not begun are dropped if the caller gives up.

        Raises:
            ServiceError: 503, too many bars are waiting, or the service ends.
        """
        if self.waiting + len(bars) > self._max_waiting:
            raise overloaded(f"{self.waiting} bars are waiting for a decision: ask again in a second.")
        if self._closed:
            raise stopping()
        if not bars:
            return {}
        request: _Request[Answer] = _Request(len(bars), asyncio.get_running_loop())
        self._queue.extend(_Item(symbol, bar, request) for symbol, bar in bars.items())
        self._start_rounds()
        return await request.done

    def close(self) -> None:
        """Let rounds under way finish; call it once no request is left."""
        self._closed = True
        self._pool.shutdown(wait=True)

    def _start_rounds(self) -> None:
        while self._running < self._workers and not self._closed:
            items = self._next_round()
            if not items:
                return
            self._running += 1
            self._busy.update(item.symbol for item in items)
            future = self._pool.submit(self._round, {item.symbol: item.bar for item in items})
            future.add_done_callback(partial(_tell, asyncio.get_running_loop(), self._finish, items))

    def _round(self, bars: Mapping[str, Bar]) -> Mapping[str, Answer]:
        """In a thread: an answer for every symbol, or an exception that all of the round's requests get."""
        answers = self._decide(bars)
        return {symbol: answers[symbol] for symbol in bars}

    def _next_round(self) -> list[_Item[Answer]]:
        """The oldest waiting bars, one per symbol, of symbols that no other round has in hand."""
        items: list[_Item[Answer]] = []
        taken: set[str] = set()
        kept: list[_Item[Answer]] = []
        while self._queue and len(items) < self._round_symbols:
            item = self._queue.popleft()
            if item.request.done.done():
                continue
            if item.symbol in taken or item.symbol in self._busy:
                kept.append(item)
            else:
                taken.add(item.symbol)
                items.append(item)
        self._queue.extendleft(reversed(kept))
        return items

    def _finish(self, items: list[_Item[Answer]], done: Future[Mapping[str, Answer]]) -> None:
        self._running -= 1
        self._busy.difference_update(item.symbol for item in items)
        error = done.exception()
        for item in items:
            if error is not None:
                item.request.fail(error)
            else:
                item.request.take(item.symbol, done.result()[item.symbol])
        self._start_rounds()


def _tell(
    loop: asyncio.AbstractEventLoop,
    finish: Callable[[list[_Item[Answer]], Future[Mapping[str, Answer]]], None],
    items: list[_Item[Answer]],
    done: Future[Mapping[str, Answer]],
) -> None:
    """Go back to the loop's thread; where the loop has ended there is nobody left to tell."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(finish, items, done)
