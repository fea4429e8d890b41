"""Mark prices in the live loop: the account goes by them, and says where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.load import read_bars
from quantum_trader.envs.market import Market
from quantum_trader.envs.paper_account import Mark
from quantum_trader.envs.presets import guess_preset
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK
from quantum_trader.serve.live.exchange_feed import open_feed
from quantum_trader.serve.live.export import export
from quantum_trader.serve.live.feed import MarkedBar
from quantum_trader.serve.live.status import described, read_status

from ...fake_exchange.faults import DISCONNECT, EMPTY
from ...fake_exchange.server import FakeExchange
from .support import HOUR_MS, RULES, WARMUP, Venue, assert_equals_backtest, journaled, live, series

STEEP = replace(RULES, leverage=20.0, stop_loss_atr=0.0)
"""Liquidation is near: it comes by the mark price alone."""
START_BAR = 400


def with_marks(bars: Bars) -> Bars:
    """Mark prices that swing wider than the last price, and differently in every bar."""
    wave = 1.0 + 0.02 * np.sin(np.arange(len(bars)))
    first, last = bars.open * wave, bars.close * wave
    return replace(
        bars,
        mark_open=first,
        mark_close=last,
        mark_high=np.maximum(first, last) * 1.01,
        mark_low=np.minimum(first, last) * 0.99,
    )


@pytest.fixture(scope="module")
def marked() -> dict[str, Bars]:
    return {name: with_marks(bars) for name, bars in series(("BTCUSDT", "ETHUSDT")).items()}


class Marking(Venue):
    """A venue that tells mark prices; `gone` says which it does not have at that moment."""

    gone: Callable[[int], bool] = staticmethod(lambda bar_ms: False)

    def marked(self, symbol: str, bars: Sequence[Bar]) -> list[Bar]:
        known, found = self.bars[symbol], []
        for bar in bars:
            row = int(np.searchsorted(known.timestamp, bar.timestamp))
            names = ("open", "high", "low", "close")
            mark = Mark(**{name: float(getattr(known, f"mark_{name}")[row]) for name in names})
            absent = self.gone(bar.timestamp)
            found.append(
                MarkedBar(**vars(bar), mark=None if absent else mark, missing="no answer" if absent else "")
            )
        return list(found)


def test_an_account_is_liquidated_by_the_mark_price(tmp_path: Path, marked: dict[str, Bars]) -> None:
    """Equity, trades, fills and liquidations equal `run_actions` on bars with mark prices, to the bit, also
    across a restart; with the last price they would be others."""
    venue = Marking(marked, START_BAR)
    for bars in (12, 20):
        live(tmp_path, venue, bars=bars, rules=STEEP)
    assert_equals_backtest(tmp_path, marked, trades=2, rules=STEEP)
    found = read_status(tmp_path)
    assert found is not None
    assert sum(symbol.result.liquidations for symbol in found.symbols) > 0
    assert not any(symbol.no_mark_price or symbol.last_price_bars for symbol in found.symbols)
    with pytest.raises(AssertionError):
        assert_equals_backtest(tmp_path, series(("BTCUSDT", "ETHUSDT")), rules=STEEP)


def test_a_bar_without_a_mark_price_is_asked_for_twice_and_goes_by_the_last(
    tmp_path: Path, marked: dict[str, Bars]
) -> None:
    """The status and one line say so; a mark that is there at the second question counts."""
    bars = {"BTCUSDT": marked["BTCUSDT"]}
    venue, asked = Marking(bars, START_BAR), dict[int, int]()
    lost = int(bars["BTCUSDT"].timestamp[START_BAR + 3])
    slow = int(bars["BTCUSDT"].timestamp[START_BAR + 1])

    def gone(bar_ms: int) -> bool:
        asked[bar_ms] = asked.get(bar_ms, 0) + 1
        return bar_ms == lost or (bar_ms == slow and asked[bar_ms] == 1)

    venue.gone = gone  # type: ignore[method-assign]
    said = live(tmp_path, venue, bars=4, rules=STEEP)
    assert sum("no mark price at" in line and "goes by the last price" in line for line in said) == 1
    assert (asked[lost], asked[slow]) == (2, 2)
    found = read_status(tmp_path)
    assert found is not None
    assert (found.symbols[0].no_mark_price, found.symbols[0].last_price_bars) == ("no answer", 1)
    assert "goes by the last price: no answer (1 bars" in described(tmp_path)
    live(tmp_path, venue, bars=8, rules=STEEP)
    row = int(np.flatnonzero(bars["BTCUSDT"].timestamp == lost)[0])
    plain = replace(
        bars["BTCUSDT"],
        **{
            f"mark_{name}": np.where(
                np.arange(len(bars["BTCUSDT"])) == row,
                getattr(bars["BTCUSDT"], name),
                getattr(bars["BTCUSDT"], f"mark_{name}"),
            )
            for name in ("open", "high", "low", "close")
        },
    )
    assert_equals_backtest(tmp_path, {"BTCUSDT": plain}, trades=0, rules=STEEP)


def test_marks_are_on_disk_before_the_journal_has_their_bar(
    tmp_path: Path, marked: dict[str, Bars], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A book that fails after the journal's commit: the bar is replayed with its mark price."""
    save, calls = PaperBook.save, [0]

    def failing(self: PaperBook, *given: object) -> None:
        calls[0] += 1
        if calls[0] == 7:
            from quantum_trader.serve.live.errors import StoreError

            raise StoreError("the disk is full.")
        save(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(PaperBook, "save", failing)
    live(tmp_path, Marking(marked, START_BAR), bars=12, rules=STEEP)
    assert calls[0] > 7
    assert_equals_backtest(tmp_path, marked, trades=0, rules=STEEP)


def test_exported_bars_give_the_account_in_a_backtest(tmp_path: Path, marked: dict[str, Bars]) -> None:
    """`live export --what bars` is a data file: `run_actions` on it has the account's equity, to the bit."""
    live(tmp_path, Marking(marked, START_BAR), bars=15, rules=STEEP)
    output = tmp_path / "bars.parquet"
    assert export(tmp_path, output, what="bars", symbols="ETHUSDT") == WARMUP + 15
    bars = read_bars(output)
    moments, actions = journaled(tmp_path, "ETHUSDT")
    chosen = np.zeros(len(bars))
    chosen[np.searchsorted(bars.timestamp, moments)] = actions
    market = Market.build(bars, guess_preset("ETHUSDT"))
    record = run_actions(market, chosen, STEEP, start=WARMUP - 1, flatten=False)
    book = PaperBook(tmp_path / BOOK, read_only=True)
    assert record.history()["equity"].tolist()[-15:] == book.equity("ETHUSDT")["equity"].tolist()
    book.close()
    assert pd.read_parquet(output)["mark_close"].isna().sum() == WARMUP


def test_an_exchanges_mark_prices_arrive_as_they_are(marked: dict[str, Bars]) -> None:
    """Over HTTP; what cannot be had is None with the reason, and is not asked for again for a while."""
    bars = marked["BTCUSDT"]
    now_ms = int(bars.timestamp[START_BAR]) + 1_000
    with FakeExchange(marked, now_ms=now_ms) as venue:
        feed = open_feed(
            "binanceusdm", "1h", url=venue.url, per_second=1e6, mark=True, sleep=lambda seconds: None
        )

        def ask() -> MarkedBar:
            found = feed.closed_bars("BTCUSDT", venue.now_ms - 3 * HOUR_MS, venue.now_ms)
            newest = feed.marked("BTCUSDT", found)[-1]
            assert isinstance(newest, MarkedBar)
            return newest

        row, found = START_BAR - 1, ask()
        assert found.mark is not None
        assert found.mark.high == bars.mark_high[row]
        assert found.mark.close == bars.mark_close[row]
        assert found.plain() == replace(bars.bar(row), funding_rate=found.funding_rate)
        venue.fail("markPriceKlines", DISCONNECT)
        assert ask().missing == "no connection, or it broke"
        venue.fail("markPriceKlines", EMPTY, times=99)
        assert ask().missing == "the exchange has none yet"
        venue.heal()
        venue.forget()
        assert ask().missing == "not asked for after failures"
        assert not venue.asked("markPrice")
        venue.now_ms += 3 * HOUR_MS
        assert ask().mark is not None
