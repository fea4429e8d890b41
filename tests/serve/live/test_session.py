"""A whole live session by a virtual clock: what it decides, what it keeps, and what it does about trouble."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import guess_preset
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.live import poller
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.config import JOURNAL, Plan
from quantum_trader.serve.live.errors import FeedError
from quantum_trader.serve.live.feed import Settlements
from quantum_trader.serve.live.lock import FolderLock
from quantum_trader.serve.live.loop_config import LoopConfig
from quantum_trader.serve.live.status import read_status, results

from .support import (
    HOUR_MS,
    LOOP,
    RULES,
    Venue,
    assert_equals_backtest,
    backtest,
    gone,
    journaled,
    live,
    make_arbiter,
    series,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def test_a_session_is_a_backtest_of_its_own_decisions(tmp_path: Path) -> None:
    """Equity, trades and fills of every symbol equal `run_actions` on the same bars and the journal's
    actions, to the bit; every bar is decided on once, in order."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    said = live(tmp_path, venue, bars=60)
    assert_equals_backtest(tmp_path, bars, trades=5)
    for symbol in SYMBOLS:
        moments, actions = journaled(tmp_path, symbol)
        assert moments == list(range(moments[0], moments[0] + 60 * HOUR_MS, HOUR_MS))
        assert moments[0] == bars[symbol].timestamp[400]
        assert {1, 2} <= set(actions)
    assert said[0] == "warmed up 3 symbols, BTCUSDT with 260 bars"
    assert "s after the close" in said[1]
    assert "together" in said[-1]
    assert backtest(tmp_path, "BTCUSDT", bars["BTCUSDT"]).funding != 0.0


def test_after_a_stop_the_missed_bars_go_through_in_order_and_are_not_traded(tmp_path: Path) -> None:
    """Bars closed while nobody looked are HOLD "late bar", the accounts step through them, and the newest,
    which closed just now, is decided on."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    live(tmp_path, venue, bars=20)
    venue.clock_ms = float(bars["BTCUSDT"].timestamp[450] + 3_000)
    said = live(tmp_path, venue, bars=40)
    assert said[0] == "resumed 3 symbols at 2020-01-18 11:00"
    assert "29 bars before it made up for" in said[1]
    with JournalReader(tmp_path / JOURNAL) as reader:
        reasons = [row.entry.reason for row in reader.rows(symbols=["BTCUSDT"])]
    assert reasons[20:49] == ["late bar"] * 29
    assert "late bar" not in reasons[:20] + reasons[49:]
    assert len(reasons) == 60
    assert_equals_backtest(tmp_path, bars)


def test_a_restart_waits_for_the_next_close(tmp_path: Path) -> None:
    """Between two closes there is nothing to ask for: no symbol counts as silent, and the next bar is asked
    for as soon as it has closed, not after a long wait."""
    bars = series(SYMBOLS[:1])
    venue = Venue(bars, 400)
    live(tmp_path, venue, bars=2)
    venue.clock_ms += 60_000
    venue.asked.clear()
    said = live(tmp_path, venue, bars=1)
    assert len(venue.asked) == 1
    assert "2.0 s after the close" in said[1]


def test_a_warm_up_is_written_once(tmp_path: Path) -> None:
    """The journal counts nothing as offered again, neither at the start nor after another one."""
    for _ in range(2):
        venue = Venue(series(SYMBOLS[:1]), 400)
        live(tmp_path, venue, bars=2)
        with JournalReader(tmp_path / JOURNAL) as reader:
            extra = reader.state().extra
        assert extra["repeated_bars"] == extra["repeated_decisions"] == 0.0


def test_a_symbol_left_out_keeps_its_contract(tmp_path: Path) -> None:
    """Its last outcomes are still made by the contract it was started with, not by one guessed anew."""
    own = replace(guess_preset("BTCUSDT"), taker_fee=0.01)
    venue = Venue(series(SYMBOLS[:2]), 400)
    live(tmp_path, venue, bars=1, contracts={"BTCUSDT": own})
    seen = []

    def watched(plan: Plan, clock: VenueClock) -> Arbiter:
        seen.append(plan.contracts["BTCUSDT"])
        return make_arbiter(plan, clock)

    live(tmp_path, venue, symbols=SYMBOLS[1:2], bars=1, arbiter=watched)
    assert seen == [own]


class InTurn(ThreadPoolExecutor):
    """One thing after another: what is asked for between closes is done before time goes on."""

    def submit(self, *call: Any, **named: Any) -> Future[Any]:
        future = super().submit(*call, **named)
        wait([future])
        return future


def test_funding_is_asked_for_twice_between_two_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes after the open, and again near the end of the bar."""
    monkeypatch.setattr(poller, "ThreadPoolExecutor", InTurn)
    asked: list[int] = []

    class Noting(Venue):
        def prepare(self, symbol: str, now_ms: int) -> Settlements:
            asked.append(now_ms % HOUR_MS // 60_000)
            return Settlements()

    live(tmp_path, Noting(series(SYMBOLS[:1]), 400), bars=4)
    assert asked == [2, 54] * 4


def test_a_disconnect_is_made_up_for(tmp_path: Path) -> None:
    """Ten hours without an answer: nothing is decided meanwhile, and afterwards no bar is missing."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    down = (venue.clock_ms + 10.5 * HOUR_MS, venue.clock_ms + 20.5 * HOUR_MS)

    def cut(symbol: str) -> None:
        if down[0] < venue.clock_ms < down[1]:
            raise FeedError("no connection")

    venue.hook = cut
    said = live(tmp_path, venue, bars=40)
    assert "BTCUSDT: no connection" in said
    assert "BTCUSDT: answers again" in said
    assert_equals_backtest(tmp_path, bars)
    moments, _ = journaled(tmp_path, "SOLUSDT")
    assert len(moments) == len(set(moments)) == 40


def test_one_symbol_that_fails_for_ever_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A delisted symbol is reported, asked for ever less often, and stays in the status."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    live(tmp_path, venue, bars=10)
    venue.broken["ETHUSDT"] = gone("ETHUSDT")
    venue.asked.clear()
    said = live(tmp_path, venue, bars=30)
    assert "ETHUSDT: refuses candles of ETHUSDT: Invalid symbol." in said
    assert sum(line.startswith("ETHUSDT: refuses") for line in said) == 1
    assert sum(symbol == "ETHUSDT" for symbol, _, _ in venue.asked) < 30 * 14
    status = read_status(tmp_path)
    assert status is not None
    conditions = {symbol.symbol: symbol.condition for symbol in status.symbols}
    assert conditions == {"BTCUSDT": "live", "ETHUSDT": "failing", "SOLUSDT": "live"}
    assert len(journaled(tmp_path, "BTCUSDT")[0]) == 40
    assert len(journaled(tmp_path, "ETHUSDT")[0]) == 10
    assert_equals_backtest(tmp_path, bars)


def test_an_answer_that_makes_a_library_stumble_is_one_symbols_failure(tmp_path: Path) -> None:
    """Whatever is raised, the others go on, and the status says what it was."""
    venue = Venue(series(SYMBOLS[:2]), 400)
    venue.broken["ETHUSDT"] = ZeroDivisionError("not ours")
    said = live(tmp_path, venue, bars=3)
    assert "ETHUSDT: the answer could not be used (ZeroDivisionError)" in said
    assert len(journaled(tmp_path, "BTCUSDT")[0]) == 3


def test_a_symbol_may_fail_for_weeks(tmp_path: Path) -> None:
    """After thousands of failures the wait is still the longest one, and the session still runs."""
    bars = series(SYMBOLS[:2])
    venue = Venue(bars, 400)
    live(tmp_path, venue, bars=1)
    venue.broken["ETHUSDT"] = gone("ETHUSDT")
    often = replace(LOOP, longest_retry_s=3.0)
    live(tmp_path, venue, bars=2, loop=often)
    assert len(venue.asked) > 1_100
    assert len(journaled(tmp_path, "BTCUSDT")[0]) == 3


def test_a_symbol_that_falls_silent_is_reported(tmp_path: Path) -> None:
    """A venue that answers without new bars is no failure, and the others go on."""
    bars = series(SYMBOLS)
    bars["SOLUSDT"] = bars["SOLUSDT"][:410]
    live(tmp_path, Venue(bars, 400), bars=30)
    status = read_status(tmp_path)
    assert status is not None
    assert [symbol.condition for symbol in status.symbols] == ["live", "live", "silent"]
    assert_equals_backtest(tmp_path, bars)


@pytest.mark.parametrize("offset_ms", [-7 * HOUR_MS + 123, 400 * HOUR_MS])
def test_the_venues_clock_counts(tmp_path: Path, offset_ms: int) -> None:
    """With this machine's clock hours off, the same bars are decided on, none of them late."""
    bars = series(SYMBOLS[:1])
    venue = Venue(bars, 400)
    live(tmp_path, venue, bars=20, clock=venue.clock(wall_offset_s=offset_ms / 1000))
    moments, actions = journaled(tmp_path, "BTCUSDT")
    assert moments[0] == bars["BTCUSDT"].timestamp[400]
    assert set(actions) - {0}
    assert_equals_backtest(tmp_path, bars)


def test_a_clock_that_jumps_back_changes_nothing(tmp_path: Path) -> None:
    """This machine's clock set back by an hour every few bars: no bar twice, none missing, none late."""
    bars = series(SYMBOLS[:1])
    venue = Venue(bars, 400)
    wall = {"offset": 0.0}

    def set_back(symbol: str) -> None:
        wall["offset"] -= 1_200.0

    venue.hook = set_back
    clock = venue.clock()
    clock._wall = lambda: venue.clock_ms / 1000.0 + wall["offset"]
    live(tmp_path, venue, bars=20, clock=clock)
    moments, _ = journaled(tmp_path, "BTCUSDT")
    assert moments == list(range(moments[0], moments[0] + 20 * HOUR_MS, HOUR_MS))
    assert_equals_backtest(tmp_path, bars)


def test_the_newest_bar_is_left_while_it_is_open(tmp_path: Path) -> None:
    """A feed that hands out an open bar, duplicates and older ones: only closed new ones are used."""
    bars = series(SYMBOLS[:1])

    class Generous(Venue):
        def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
            known = self.bars[symbol]
            opened = int((known.timestamp <= self.now_ms()).sum())
            return [known.bar(row) for row in (*range(opened - 1, opened - 300, -1), opened - 2)]

    live(tmp_path, Generous(bars, 400), bars=20)
    assert_equals_backtest(tmp_path, bars)


def test_a_bar_that_cannot_be_right_is_left_out_and_reported(tmp_path: Path) -> None:
    """It becomes a missing bar; the symbol goes on."""
    bars = series(SYMBOLS[:1])

    class Damaged(Venue):
        def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
            found = super().closed_bars(symbol, since_ms, until_ms)
            bad = int(self.bars[symbol].timestamp[405])
            return [replace(bar, high=0.5 * bar.low) if bar.timestamp == bad else bar for bar in found]

    said = live(tmp_path, Damaged(bars, 400), bars=20)
    assert any(line.startswith("left out: BTCUSDT: the bar at 2020-01-17T21") for line in said)
    moments, _ = journaled(tmp_path, "BTCUSDT")
    assert int(bars["BTCUSDT"].timestamp[405]) not in moments
    assert len(moments) == 20


def test_a_partial_answer_is_asked_for_again(tmp_path: Path) -> None:
    """A page that begins late would leave a hole in the history for ever: it is doubted once."""
    bars = series(SYMBOLS[:1])

    class Partial(Venue):
        def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
            found = super().closed_bars(symbol, since_ms, until_ms)
            lagging = len(found) == 5 and len(self.asked) % 2 == 0
            return found[3:] if lagging else found

    venue = Partial(bars, 400)
    live(tmp_path, venue, bars=5)
    venue.clock_ms += 4 * HOUR_MS
    venue.asked.append(("", 0, 0))
    if len(venue.asked) % 2 == 0:
        venue.asked.append(("", 0, 0))
    live(tmp_path, venue, bars=5)
    moments, _ = journaled(tmp_path, "BTCUSDT")
    assert moments == list(range(moments[0], moments[-1] + 1, HOUR_MS))


def test_a_real_hole_is_believed_the_second_time(tmp_path: Path) -> None:
    """Bars that the venue does not have do not stop the symbol; the account steps over the hole."""
    whole = series(SYMBOLS[:1])["BTCUSDT"]
    from quantum_trader.envs.load import bars_from_frame

    frame = whole.to_frame().drop(index=[405, 406]).reset_index(drop=True)
    bars = {"BTCUSDT": bars_from_frame(frame, symbol="BTCUSDT")}
    live(tmp_path, Venue(bars, 400), bars=20)
    moments, _ = journaled(tmp_path, "BTCUSDT")
    assert len(moments) == 20
    assert_equals_backtest(tmp_path, bars)


def test_a_hundred_symbols(tmp_path: Path) -> None:
    """All are decided on in every round, one of them always failing."""
    names = tuple(f"COIN{number}USDT" for number in range(100))
    some = series(names[:4])
    bars = {name: some[names[number % 4]] for number, name in enumerate(names)}
    venue = Venue(bars, 400)
    venue.broken["COIN7USDT"] = gone("COIN7USDT")
    live(tmp_path, venue, bars=5)
    decided = [len(journaled(tmp_path, name)[0]) for name in names if name != "COIN7USDT"]
    assert decided == [5] * 99
    assert len(results(tmp_path)) == 99


def test_symbols_may_come_and_go(tmp_path: Path) -> None:
    """One left out of a later start keeps its account; added again, it catches up with what it missed."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    live(tmp_path, venue, symbols=("BTCUSDT", "ETHUSDT"), bars=10)
    live(tmp_path, venue, symbols=("BTCUSDT", "SOLUSDT"), bars=10)
    assert [result.symbol for result in results(tmp_path)] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    live(tmp_path, venue, bars=10)
    assert_equals_backtest(tmp_path, bars)


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    """A second session on it ends with a sentence that names the first."""
    bars = series(SYMBOLS[:1])
    lock = FolderLock(tmp_path)
    with pytest.raises(ConfigError, match=r"another live session \(process \d+\) works in this folder"):
        live(tmp_path, Venue(bars, 400), bars=1)
    lock.release()
    live(tmp_path, Venue(bars, 400), bars=1)


def test_a_folder_keeps_its_rules(tmp_path: Path) -> None:
    """Another leverage would make an account that never was: the message names what differs."""
    bars = series(SYMBOLS[:1])
    live(tmp_path, Venue(bars, 400), bars=1)
    with pytest.raises(ConfigError, match=r"started with leverage 3\.0, found 5\.0"):
        live(tmp_path, Venue(bars, 400), bars=1, rules=replace(RULES, leverage=5.0))


def test_nothing_is_decided_while_the_journal_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a while: the session starts over from it; nothing is lost or doubled."""
    bars = series(SYMBOLS)
    venue = Venue(bars, 400)
    record, calls = Journal.record, {"count": 0}

    def failing(self: Journal, entries, known):  # type: ignore[no-untyped-def]
        calls["count"] += 1
        if 12 <= calls["count"] < 14:
            from quantum_trader.serve.journal.journal import JournalError, _failed

            return _failed(JournalError("journal.sqlite: the disk is full; free some space."))
        return record(self, entries, known)

    monkeypatch.setattr(Journal, "record", failing)
    said = live(tmp_path, venue, bars=20)
    assert any("the disk is full; free some space. Nothing is decided meanwhile" in line for line in said)
    assert_equals_backtest(tmp_path, bars)
    moments, _ = journaled(tmp_path, "BTCUSDT")
    assert moments == list(range(moments[0], moments[-1] + 1, HOUR_MS))


def test_long_absences_are_made_up_for_page_by_page(tmp_path: Path) -> None:
    """More bars than one page holds, a page at a time, so that memory stays small."""
    bars = series(SYMBOLS[:2])
    venue = Venue(bars, 300)
    loop = replace(LOOP, page_bars=32)
    live(tmp_path, venue, bars=5, loop=loop)
    venue.clock_ms += 150 * HOUR_MS
    venue.asked.clear()
    live(tmp_path, venue, bars=160, loop=loop)
    assert all(until - since <= 32 * HOUR_MS for _, since, until in venue.asked)
    assert_equals_backtest(tmp_path, bars)


def test_a_lot_larger_than_a_position_is_refused_at_the_start(tmp_path: Path) -> None:
    """It would never trade, and nobody would know why."""
    large = {"BTCUSDT": FuturesContract(name="large", lot_size=1_000.0)}
    with pytest.raises(ConfigError, match=r"a position is worth 30,000\.00, less than one lot"):
        live(tmp_path, Venue(series(SYMBOLS[:1]), 400), bars=1, contracts=large)


def test_settings_out_of_range_are_refused() -> None:
    """In one sentence."""
    with pytest.raises(ConfigError, match="settle_s must be a number of at least 0"):
        LoopConfig(settle_s=-1.0)
