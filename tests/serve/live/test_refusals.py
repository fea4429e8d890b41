"""Venues that turn this place away, limit requests or rest: what a live session says and does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.live.errors import FeedError, TurnedAwayError
from quantum_trader.serve.live.status import read_status

from ...fake_exchange import pages
from ...fake_exchange.faults import status
from ...fake_exchange.server import FakeExchange
from .support import HOUR_MS, Venue, assert_equals_backtest, journaled, live, series
from .test_exchange import trade

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START_BAR = 400


@pytest.fixture(scope="module")
def known() -> dict[str, Bars]:
    return series(SYMBOLS)


@pytest.fixture
def venue(known: dict[str, Bars]) -> Iterator[FakeExchange]:
    with FakeExchange(known, now_ms=int(known["BTCUSDT"].timestamp[START_BAR]) + 1_000) as exchange:
        yield exchange


@pytest.mark.parametrize("fault", [pages.FORBIDDEN, pages.RESTRICTED, pages.RESTRICTED_JSON])
def test_a_place_that_is_not_served_ends_the_start(tmp_path: Path, venue: FakeExchange, fault: Any) -> None:
    """One request, one sentence without the page, and the next start is a first one again."""
    venue.fail("", fault, times=99)
    with pytest.raises(TurnedAwayError, match=r"^binanceusdm refuses .*\(HTTP 4\d\d: .*; choose another"):
        trade(tmp_path, venue, 1, SYMBOLS)
    assert len(venue.requests) == 1
    venue.heal()
    trade(tmp_path, venue, 1, SYMBOLS)


def test_a_session_under_way_ends_when_it_is_turned_away(
    tmp_path: Path, venue: FakeExchange, known: dict[str, Bars]
) -> None:
    """Not by one answer of a firewall, but by three in a row; the status says that it has ended, and later
    the same command goes on."""
    trade(tmp_path, venue, 2, SYMBOLS)
    venue.fail("klines", pages.FORBIDDEN, times=2)
    said = trade(tmp_path, venue, 2, SYMBOLS)
    assert any("HTTP 403" in line for line in said)
    venue.fail("klines", pages.FORBIDDEN, times=99)
    with pytest.raises(TurnedAwayError, match="HTTP 403"):
        trade(tmp_path, venue, 2, SYMBOLS)
    found = read_status(tmp_path)
    assert found is not None
    assert not found.running
    assert any("HTTP 403" in symbol.error for symbol in found.symbols)
    venue.heal()
    trade(tmp_path, venue, 2, SYMBOLS)
    assert_equals_backtest(tmp_path, known, trades=0)


@pytest.mark.parametrize("fault", [pages.LIMITED_PAGE, pages.BANNED_PAGE, status(429, 30.0)])
def test_a_limit_at_the_start_is_waited_for_as_told(tmp_path: Path, venue: FakeExchange, fault: Any) -> None:
    """The exchange can be reached: nothing is sent before the pause is over, and the session begins."""
    before = venue.now_ms
    venue.fail("", fault)
    said = trade(tmp_path, venue, 1, SYMBOLS)
    seconds = f"{fault.retry_after_s:g}"
    assert f"HTTP {fault.status}); trying again in {seconds} s" in said[0]
    assert venue.now_ms - before >= fault.retry_after_s * 1000
    assert sum("asks for a pause" in line for line in said) == 1


def test_maintenance_ends_a_first_start_and_is_waited_for_later(tmp_path: Path, venue: FakeExchange) -> None:
    """By its name, not by the page."""
    venue.fail("", pages.MAINTENANCE)
    with pytest.raises(FeedError, match=r"does not answer \(maintenance or overload, HTTP 503\)"):
        trade(tmp_path, venue, 1, SYMBOLS)
    trade(tmp_path, venue, 1, SYMBOLS)
    venue.fail("/time", pages.MAINTENANCE_UNTIL)
    said = trade(tmp_path, venue, 1, SYMBOLS)
    assert "(maintenance or overload, HTTP 503); trying again in 12 s" in said[0]


def test_a_disk_that_hangs_cannot_part_journal_and_account(
    tmp_path: Path, known: dict[str, Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that was given up comes through after the session has read the journal again and decided
    anew, late and therefore otherwise: the first decision counts, and the account follows it."""
    venue = Venue(known, START_BAR)
    record: Callable[..., Future[None]] = Journal.record
    held: list[tuple[Any, Any]] = []
    calls = [0]

    def hanging(self: Journal, entries: Sequence[Any], bars: Any) -> Future[None]:
        calls[0] += bool(entries)
        if entries and calls[0] == 6:
            held.append((entries, bars))
            venue.clock_ms += 0.5 * HOUR_MS
            never: Future[None] = Future()
            never.set_exception(JournalError("the journal has not confirmed within 30 s."))
            return never
        if entries and held:
            record(self, *held.pop()).result()
        return record(self, entries, bars)

    monkeypatch.setattr(Journal, "record", hanging)
    said = live(tmp_path, venue, bars=20)
    assert any("has another decision or bar than the one just taken" in line for line in said)
    assert_equals_backtest(tmp_path, known, trades=0)
    moments, actions = journaled(tmp_path, "BTCUSDT")
    assert moments == list(range(moments[0], moments[-1] + 1, HOUR_MS))
    monkeypatch.undo()
    undisturbed = tmp_path / "undisturbed"
    live(undisturbed, Venue(known, START_BAR), bars=len(moments))
    assert journaled(undisturbed, "BTCUSDT")[1][:6] == actions[:6]
