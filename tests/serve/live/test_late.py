"""Funding that is published after its bar was decided on: the account ends as if it had been there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.serve.live import late as module
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK
from quantum_trader.serve.live.errors import StoreError
from quantum_trader.serve.live.export import export
from quantum_trader.serve.live.feed import Settlements

from .support import HOUR_MS, RULES, Venue, assert_equals_backtest, live, series

START_BAR = 400
HEAVY = replace(RULES, leverage=10.0)


@pytest.fixture(scope="module")
def bars() -> dict[str, Bars]:
    """Rates so high that nobody could miss them."""
    one = series(("BTCUSDT",))["BTCUSDT"]
    return {"BTCUSDT": replace(one, funding_rate=100.0 * one.funding_rate)}


class Tardy(Venue):
    """A venue that publishes the rates of its last bars `delay_ms` after they have settled."""

    delay_ms = 0

    def published(self, bar_ms: int) -> bool:
        return self.now_ms() >= bar_ms + self.delay_ms or bar_ms < self.bars["BTCUSDT"].timestamp[START_BAR]

    def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
        found = super().closed_bars(symbol, since_ms, until_ms)
        return [
            bar if self.published(bar.timestamp) else replace(bar, funding_rate=math.nan) for bar in found
        ]

    def prepare(self, symbol: str, now_ms: int) -> Settlements:
        known, since_ms = self.bars[symbol], now_ms // HOUR_MS * HOUR_MS - 48 * HOUR_MS
        rows = [
            [bar_ms + 7, rate]
            for bar_ms, rate in zip(known.timestamp.tolist(), known.funding_rate.tolist(), strict=True)
            if since_ms <= bar_ms <= now_ms and math.isfinite(rate) and self.published(bar_ms)
        ]
        return Settlements(since_ms=since_ms, rows=np.array(rows).reshape(-1, 2))


@pytest.mark.parametrize("delay_minutes", [61, 200, 15 * 60])
def test_late_funding_is_booked_where_it_belongs(
    tmp_path: Path, bars: dict[str, Bars], delay_minutes: int
) -> None:
    """Whoever held the position at the settlement pays, and what was sized since is sized anew: equity,
    trades and fills equal `run_actions` on bars with all rates, to the bit."""
    venue = Tardy(bars, START_BAR)
    venue.delay_ms = delay_minutes * 60_000
    said = live(tmp_path, venue, bars=45, rules=HEAVY)
    booked = [line for line in said if "was published late" in line]
    assert len(booked) >= 3
    assert_equals_backtest(tmp_path, _without_unbooked(bars, len(booked)), trades=3, rules=HEAVY)


def _without_unbooked(bars: dict[str, Bars], booked: int) -> dict[str, Bars]:
    """Without the rates that had not been published when the session ended."""
    one = bars["BTCUSDT"]
    settled = np.flatnonzero(np.isfinite(one.funding_rate) & (np.arange(len(one)) >= START_BAR))
    rates = one.funding_rate.copy()
    rates[settled[booked:]] = math.nan
    return {"BTCUSDT": replace(one, funding_rate=rates)}


def test_after_a_restart_it_is_booked_too(tmp_path: Path, bars: dict[str, Bars]) -> None:
    """Nothing in memory reaches back to its bar: the account is made again from the journal, and stays what
    it is at further starts and when its book is lost."""
    venue = Tardy(bars, START_BAR)
    venue.delay_ms = 14 * HOUR_MS
    live(tmp_path, venue, bars=12, rules=HEAVY)
    venue.delay_ms = 0
    said = live(tmp_path, venue, bars=2, rules=HEAVY)
    assert any("was published late" in line for line in said)
    assert_equals_backtest(tmp_path, bars, rules=HEAVY)
    said = live(tmp_path, venue, bars=10, rules=HEAVY)
    assert not any("was published late" in line for line in said)
    assert_equals_backtest(tmp_path, bars, rules=HEAVY)
    assert export(tmp_path, tmp_path / "bars.parquet", what="bars") > 0


def test_what_cannot_be_written_is_booked_the_next_time(
    tmp_path: Path, bars: dict[str, Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails while the account is restated: all of it or nothing."""
    restate, calls = PaperBook.restate, [0]

    def failing(self: PaperBook, *given: object) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise StoreError("the disk is full.")
        restate(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(PaperBook, "restate", failing)
    venue = Tardy(bars, START_BAR)
    venue.delay_ms = 90 * 60_000
    said = live(tmp_path, venue, bars=30, rules=HEAVY)
    assert calls[0] > 1
    assert any("the disk is full. Nothing is decided meanwhile" in line for line in said)
    booked = sum("was published late" in line for line in said)
    assert_equals_backtest(tmp_path, _without_unbooked(bars, booked), rules=HEAVY)


def test_rates_in_time_cost_nothing(
    tmp_path: Path, bars: dict[str, Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody goes back, and a corrected rate changes nothing."""

    def never(*given: object) -> None:
        raise AssertionError("went back")

    monkeypatch.setattr(module, "_go_back", never)
    venue = Tardy(bars, START_BAR)
    usual: Callable[[str, int], Settlements] = venue.prepare

    def corrected(symbol: str, now_ms: int) -> Settlements:
        told = usual(symbol, now_ms)
        return Settlements(since_ms=told.since_ms, rows=told.rows * [1.0, 2.0])

    venue.prepare = corrected  # type: ignore[method-assign]
    live(tmp_path, venue, bars=20, rules=HEAVY)
    assert_equals_backtest(tmp_path, bars, rules=HEAVY)
    book = PaperBook(tmp_path / BOOK, read_only=True)
    assert book._rows("SELECT COUNT(*) FROM late_funding") == [(0,)]
    book.close()
