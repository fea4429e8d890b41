"""Rounds: shared passes, order within a symbol, bounds, and what becomes of faults."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Mapping

import pytest

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.service.errors import ServiceError
from quantum_trader.serve.service.rounds import Rounds

from .services import SOON_S, past

BARS = past(40)


class Decider:
    """Answers with the bar's timestamp; can be held back, and says what it saw."""

    def __init__(self) -> None:
        self.rounds: list[dict[str, int]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, bars: Mapping[str, Bar]) -> dict[str, int]:
        with self._lock:
            assert not self._under_way & set(bars), "a symbol in two rounds at once"
            self._under_way |= set(bars)
            self.rounds.append({symbol: bar.timestamp for symbol, bar in bars.items()})
        assert self.go_on.wait(SOON_S)
        with self._lock:
            self._under_way -= set(bars)
        if self.fails:
            raise RuntimeError("on purpose")
        return {symbol: bar.timestamp for symbol, bar in bars.items()}


def rounds_of(decider: Decider, *, workers: int = 2, size: int = 10, most: int = 1_000) -> Rounds[int]:
    return Rounds(decider, workers=workers, round_symbols=size, max_waiting=most)


def test_waiting_requests_share_rounds() -> None:
    """A hundred requests for one symbol each take far fewer passes than a hundred, and all get their own."""
    decider = Decider()

    async def story() -> list[dict[str, int]]:
        rounds = rounds_of(decider, size=50)
        asked = [rounds.ask({f"S{number}": BARS[number % 40]}) for number in range(100)]
        return await asyncio.gather(*asked)

    found = asyncio.run(story())
    assert found == [{f"S{number}": BARS[number % 40].timestamp} for number in range(100)]
    assert len(decider.rounds) <= 6
    assert sum(len(each) for each in decider.rounds) == 100


def test_bars_of_one_symbol_keep_their_order() -> None:
    """However requests and symbols are mixed, a symbol's bars are decided in the order they came."""
    decider = Decider()

    async def story() -> None:
        rounds = rounds_of(decider, workers=4, size=3)
        asked = [rounds.ask({f"S{number}": bar for number in range(7)}) for bar in BARS]
        await asyncio.gather(*asked)
        assert rounds.waiting == 0

    asyncio.run(story())
    seen: dict[str, list[int]] = defaultdict(list)
    for each in decider.rounds:
        for symbol, timestamp in each.items():
            seen[symbol].append(timestamp)
    assert len(seen) == 7
    assert all(times == sorted(times) and len(times) == len(BARS) for times in seen.values())


def test_large_requests_are_split() -> None:
    """No round holds more than `round_symbols`; the caller gets one whole answer."""
    decider = Decider()
    bars = {f"S{number}": BARS[0] for number in range(95)}
    found = asyncio.run(rounds_of(decider).ask(bars))
    assert set(found) == set(bars)
    assert max(len(each) for each in decider.rounds) == 10


def test_too_much_waiting_is_refused_and_room_comes_back() -> None:
    """503 with Retry-After beyond `max_waiting`; what was accepted is answered."""
    decider = Decider()
    decider.go_on.clear()

    async def story() -> None:
        rounds = rounds_of(decider, most=5)
        accepted = [asyncio.create_task(rounds.ask({f"S{number}": BARS[0]})) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as caught:
            await rounds.ask({"X": BARS[0]})
        assert (caught.value.status, caught.value.headers["retry-after"]) == (503, "1")
        decider.go_on.set()
        assert len(await asyncio.gather(*accepted)) == 5
        assert await rounds.ask({"X": BARS[0]})

    asyncio.run(story())


def test_a_fault_reaches_its_round_and_no_other() -> None:
    """Requests of the failing round get the fault; the next ones are served."""
    decider = Decider()

    async def story() -> None:
        rounds = rounds_of(decider)
        decider.fails = True
        with pytest.raises(RuntimeError, match="on purpose"):
            await rounds.ask({"A": BARS[0]})
        decider.fails = False
        assert await rounds.ask({"A": BARS[1]}) == {"A": BARS[1].timestamp}

    asyncio.run(story())


def test_bars_of_a_caller_that_gave_up_are_not_begun() -> None:
    """A bar whose round has not begun leaves no trace; the symbol's next bar is served."""
    decider = Decider()
    decider.go_on.clear()

    async def story() -> None:
        rounds = rounds_of(decider, workers=1)
        first = asyncio.create_task(rounds.ask({"A": BARS[0]}))
        second = asyncio.create_task(rounds.ask({"A": BARS[1]}))
        third = asyncio.create_task(rounds.ask({"A": BARS[2]}))
        await asyncio.sleep(0)
        second.cancel()
        decider.go_on.set()
        await first
        await third

    asyncio.run(story())
    assert [each["A"] for each in decider.rounds] == [BARS[0].timestamp, BARS[2].timestamp]
