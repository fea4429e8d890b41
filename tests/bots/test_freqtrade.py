"""The freqtrade strategy, run by freqtrade's own commands against a venue on this machine.

freqtrade downloads the candles, loads the strategy and backtests it as its user would, and a dry run
trades the newest candle. Every decision has to be our own backtest's to the bit, and every trade one of
`run_actions` by the labels' rules. The two differ by design in this:

- freqtrade knows no slippage: it is left out here;
- it rounds a stop-loss to the tick towards the entry, and other prices to the tick;
- it stakes part of the wallet, where ours is as large as the free balance can margin: returns on the notional
  are compared, not amounts;
- it charges a trade for a settlement at the moment it is opened, where here the position carried into that
  moment pays;
- where a decision for the other side and the end of the horizon meet, it names the former and we the latter;
- it leaves out the newest candle as unfinished, and closes what is open at the last open.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.agents import load_arbiter
from quantum_trader.envs import Bars, EnvConfig, FuturesContract, Market, run_actions, write_bars
from quantum_trader.envs.actions import Action

from ..fake_exchange.server import FakeExchange
from .conftest import SYMBOL, Reference, answered, perpetual_bars

pytest.importorskip("freqtrade", exc_type=ImportError)

from freqtrade.commands import Arguments
from freqtrade.data.btanalysis import load_backtest_data
from freqtrade.data.history import load_pair_history
from freqtrade.main import main
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy
from freqtrade.worker import Worker

EXAMPLE = Path(__file__).parents[2] / "examples" / "freqtrade"
PAIR = "BTC/USDT:USDT"
FEE = 0.0005
LEVERAGE = 3.0
STARTUP = 1_000
HOUR_MS = 3_600_000
TICK = 0.01


@dataclass(frozen=True, kw_only=True)
class Backtested:
    """What freqtrade downloaded, made of every candle, and traded."""

    data: Path
    candles: pd.DataFrame
    trades: pd.DataFrame


@pytest.fixture(scope="module", autouse=True)
def loopback_only() -> Iterator[None]:
    """Nothing here may reach another machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", address
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="module")
def reference(bot_run: Path) -> Reference:
    """Bars that open away from the last close, so that some open past a stop or a target."""
    bars = perpetual_bars(1_500, seed=2)
    gaps = np.random.default_rng(0).normal(0.0, 0.004, len(bars))
    opened = (bars.open * np.exp(gaps)).round(2)
    high, low = np.maximum(bars.high, opened), np.minimum(bars.low, opened)
    moved = replace(bars, open=opened, high=high, low=low)
    return answered(replace(moved, mark_open=opened, mark_high=high, mark_low=low), bot_run)


class Venue(FakeExchange):
    """With a book, which a program that trades asks for as well: around `price`, or the newest bar's open."""

    price = 0.0

    def answer(self, path: str, query: dict[str, str]) -> Any:
        if path != "/fapi/v1/depth":
            return super().answer(path, query)
        price = self.price or float(self.bars(query).open[-1])
        book = {"bids": [[f"{price - TICK:.2f}", "100"]], "asks": [[f"{price:.2f}", "100"]]}
        answer = super().answer("/fapi/v1/time", {})
        return replace(answer, body=json.dumps({"lastUpdateId": 1, "T": 1, **book}).encode())


def options(venue: FakeExchange, run: Path, folder: Path, **more: Any) -> list[str]:
    """Command-line options: the example's configuration, led to `venue` and `run`."""
    local = {
        "exchange": {"ccxt_config": {"urls": {"api": venue.ccxt_urls()}}, "enable_ws": False},
        "quantum_trader": {"run": str(run), "leverage": LEVERAGE},
        "fee": FEE,
        **more,
    }
    (folder / "local.json").write_text(json.dumps(local))
    (folder / "user_data").mkdir()
    files = ("--config", str(EXAMPLE / "config.json"), "--config", str(folder / "local.json"))
    return [*files, "--userdir", str(folder / "user_data")]


STRATEGY = ("--strategy", "QuantumTraderStrategy", "--strategy-path", str(EXAMPLE))


def freqtrade(command: str, *arguments: str) -> int | None:
    """Exit status of one of freqtrade's commands, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([command, *arguments])
    Backtesting.cleanup()  # leaves the database to whoever comes next
    return ended.value.code  # type: ignore[return-value]


@pytest.fixture(scope="module")
def backtested(reference: Reference, bot_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Backtested:
    """One download and one backtest, as the README has them."""
    folder, candles = tmp_path_factory.mktemp("freqtrade"), {}
    analyse = IStrategy.advise_indicators

    def recorded(self: IStrategy, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        candles[metadata["pair"]] = analysed = analyse(self, dataframe, metadata)
        return analysed

    first = pd.Timestamp(int(reference.market.bars.timestamp[0]), unit="ms", tz="UTC")
    with FakeExchange({SYMBOL: reference.market.bars}) as venue, pytest.MonkeyPatch.context() as patch:
        patch.setattr(IStrategy, "advise_indicators", recorded)
        chosen = options(venue, bot_run, folder)
        days = str((pd.Timestamp.now("UTC") - first).days + 2)
        assert not freqtrade("download-data", *chosen, "--timeframes", "1h", "--days", days)
        assert not freqtrade("backtesting", *chosen, *STRATEGY, "--export", "trades", "--cache", "none")
        assert {request.method for request in venue.requests} == {"GET"}
    trades = load_backtest_data(folder / "user_data" / "backtest_results")
    return Backtested(data=folder / "user_data" / "data" / "binance", candles=candles[PAIR], trades=trades)


def test_every_decision_is_that_of_our_backtest(backtested: Backtested, reference: Reference) -> None:
    """On every usable bar: action and probabilities to the bit, with the same funding and the same ATR."""
    candles, market = backtested.candles, reference.market
    known = reference.ends[reference.ends < len(candles)]
    ours, rows = reference.decisions, candles.iloc[known]
    assert len(candles) == len(market) - 1
    assert list(rows["action"]) == [Action(action).name for action in ours.actions[: len(known)].tolist()]
    assert list(rows["source"]) == list(ours.source[: len(known)])
    for action, name in ((Action.HOLD, "p_hold"), (Action.BUY, "p_buy"), (Action.SELL, "p_sell")):
        np.testing.assert_array_equal(rows[name], ours.signals.probabilities[: len(known), action])
    np.testing.assert_array_equal(rows["atr"], market.atr[known])
    np.testing.assert_array_equal(candles["funding_rate"], market.bars.funding_rate[:-1])
    assert np.isfinite(candles["funding_rate"]).sum() > 100


def test_an_entry_is_at_the_open_after_the_decision(backtested: Backtested) -> None:
    """Long after BUY and short after SELL, at the next candle's open and nowhere else."""
    candles = backtested.candles.set_index("date")
    hour = pd.Timedelta(hours=1)
    assert {trade.is_short for trade in backtested.trades.itertuples()} == {False, True}
    for trade in backtested.trades.itertuples():
        decided = candles.loc[trade.open_date - hour]
        assert decided["action"] == ("SELL" if trade.is_short else "BUY")
        assert trade.enter_tag == decided["source"]
        assert trade.open_rate == candles.loc[trade.open_date, "open"]


def test_trades_are_those_of_run_actions(backtested: Backtested, reference: Reference, bot_run: Path) -> None:
    """Same bars, sides, prices to the tick, reasons and returns; only what is open at the end may differ."""
    ours, theirs = our_trades(reference, bot_run).iloc[:-1], backtested.trades.iloc[:-1]
    assert list(theirs["open_date"]) == list(ours["entry_time"])
    assert list(theirs["close_date"]) == list(ours["exit_time"])
    assert list(theirs["is_short"]) == list(ours["side"] < 0)
    assert set(theirs["leverage"]) == {LEVERAGE}
    np.testing.assert_array_equal(theirs["open_rate"], ours["entry_price"])
    np.testing.assert_allclose(theirs["close_rate"], ours["exit_price"], rtol=0.0, atol=TICK)
    opened = ours["entry_bar"].to_numpy()
    at_entry = np.nan_to_num(reference.market.bars.funding_rate[opened]) * ours["side"]
    # freqtrade divides by the entry's value with its fee: what a long pays, and what a short receives.
    returns = LEVERAGE * (ours["return_on_notional"] - at_entry) / (1.0 + FEE * ours["side"])
    np.testing.assert_allclose(theirs["profit_ratio"], returns, rtol=0.0, atol=LEVERAGE * TICK / 20_000.0)
    names = {"roi": "take_profit", "exit_signal": "order", "stop_loss_at_open": "stop_loss"}
    same = theirs["exit_reason"].replace(names).to_numpy() == ours["exit_reason"].to_numpy()
    assert set(ours["exit_reason"][~same]) <= {"max_holding"}
    assert (
        ours["exit_reason"].value_counts().loc[["order", "max_holding", "stop_loss", "take_profit"]].min() > 9
    )


def our_trades(reference: Reference, run: Path) -> pd.DataFrame:
    """`run_actions` by the labels' rules, from the first candle on that freqtrade trades."""
    contract = FuturesContract(name="plain", taker_fee=FEE, slippage=0.0, lot_size=0.001)
    market = Market.build(reference.market.bars[:-1], contract)
    actions = np.full(len(reference.market), Action.HOLD, dtype=np.int8)
    actions[reference.ends] = reference.decisions.actions
    settings = load_arbiter(run).settings
    rules = EnvConfig(
        leverage=LEVERAGE,
        take_profit_atr=settings.barrier_atr,
        stop_loss_atr=settings.barrier_atr,
        max_holding_bars=settings.horizon_bars,
    )
    return run_actions(market, actions[:-1], rules, start=STARTUP).trades()


def test_converted_bars_are_what_freqtrade_downloads(
    backtested: Backtested, reference: Reference, tmp_path: Path
) -> None:
    """`convert.py` writes the candles, mark prices and funding rates that a download would."""
    write_bars(reference.market.bars, tmp_path / f"{SYMBOL}.parquet")
    arguments = [str(tmp_path / f"{SYMBOL}.parquet"), PAIR, str(tmp_path / "data")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["convert.py", *arguments])
        program = compile((EXAMPLE / "convert.py").read_text(), "convert.py", "exec")
        exec(program, {"__name__": "__main__"})
    for kind in ("futures", "mark", "funding_rate"):
        written, downloaded = (
            load_pair_history(PAIR, "1h", folder, candle_type=kind)  # type: ignore[arg-type]
            for folder in (tmp_path / "data", backtested.data)
        )
        columns = (
            ["date", "funding_rate"] if kind == "funding_rate" else ["date", "open", "high", "low", "close"]
        )
        count = len(downloaded)
        assert count > 100
        pd.testing.assert_frame_equal(written[columns][:count], downloaded[columns], check_dtype=False)


def test_a_run_that_is_not_there_is_said_in_one_sentence(
    backtested: Backtested,
    reference: Reference,
    bot_run: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command fails and says what to give it; the environment goes before the configuration."""
    monkeypatch.setenv("FREQTRADE__QUANTUM_TRADER__RUN", str(tmp_path / "nowhere"))
    with FakeExchange({SYMBOL: reference.market.bars}) as venue:
        chosen = options(venue, bot_run, tmp_path)
        assert freqtrade("backtesting", *chosen, *STRATEGY, "--datadir", str(backtested.data))
    assert "expected the folder of a finished run" in caplog.text


def test_a_dry_run_enters_and_leaves_as_decided(reference: Reference, bot_run: Path, tmp_path: Path) -> None:
    """The bot enters as `decide` says, once, leaves at the labels' stop, and does not enter again."""
    bars, action, atr = up_to_now(reference.market.bars, bot_run)
    with Venue({SYMBOL: bars}, now_ms=int(time.time() * 1000)) as venue:
        chosen = options(venue, bot_run, tmp_path, ignore_buying_expired_candle_after=3_600)
        database = ("--db-url", f"sqlite:///{tmp_path / 'trades.sqlite'}")
        worker = Worker(Arguments(["trade", "--dry-run", *chosen, *STRATEGY, *database]).get_parsed_arg())
        try:
            worker.freqtrade.startup()
            worker.freqtrade.process()
            worker.freqtrade.process()
            (trade,) = Trade.get_trades().all()
            side = -1 if trade.is_short else 1
            distance = load_arbiter(bot_run).settings.barrier_atr * atr
            assert trade.is_open
            assert side == {Action.BUY: 1, Action.SELL: -1}[action]
            assert trade.leverage == LEVERAGE
            assert trade.stop_loss == pytest.approx(trade.open_rate - side * distance, abs=TICK)
            venue.price = round(trade.stop_loss - side * 0.1 * distance, 2)
            for _ in range(3):
                worker.freqtrade.process()
            (trade,) = Trade.get_trades().all()
            assert not trade.is_open
            assert trade.exit_reason.startswith("stop")
        finally:
            worker.exit()
        assert {request.method for request in venue.requests} == {"GET"}


def up_to_now(bars: Bars, run: Path) -> tuple[Bars, Action, float]:
    """Bars moved so that one with a BUY or SELL has just closed: with what is decided there, and its ATR."""
    until_hour = HOUR_MS / 1000 - time.time() % 3_600
    if until_hour < 120:  # the next candle would begin while the bot is at work
        time.sleep(until_hour + 1)
    opened = int(time.time() * 1000) // HOUR_MS * HOUR_MS
    for last in range(len(bars) - 1, STARTUP, -1):
        moved = replace(
            bars[: last + 1], timestamp=bars.timestamp[: last + 1] + opened - bars.timestamp[last]
        )
        arbiter = load_arbiter(run)
        arbiter.add_to_history(SYMBOL, moved[:-2])
        decision = arbiter.decide(SYMBOL, moved.bar(-2))
        if decision.action != Action.HOLD and decision.atr is not None:
            return moved, decision.action, decision.atr
    raise AssertionError("the models say HOLD everywhere")
