"""The NautilusTrader strategy in nautilus' own backtest engine: our decisions, our trades, and restarts.

The engine is given our bars as its own. Every decision has to be our own backtest's to the bit, and every
trade one of `run_actions` by the labels' rules without slippage. The two differ by design in this:

- nautilus fills an order at the close that it was decided on, which is the next open only where no gap lies
  between: here none does;
- it rounds prices to the tick;
- inside a bar it goes to the high before the low, where ours meets the stop first;
- it trades a fixed quantity and simulates no funding: prices are compared, not amounts.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantum_trader.agents import Decision, load_arbiter
from quantum_trader.envs import Bars, EnvConfig, FuturesContract, Market, run_actions, write_bars
from quantum_trader.envs.actions import Action
from quantum_trader.envs.windows import WINDOW

from .conftest import SYMBOL, TICK, Reference

pytest.importorskip("nautilus_trader", exc_type=ImportError)

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import Bar
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from nautilus_trader.persistence.config import DataCatalogConfig

# `examples` is no installed package.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "nautilus"))

import backtest as example
from quantum_trader_strategy import QuantumTraderConfig, QuantumTraderStrategy

FEE = Decimal("0.0005")
INSTRUMENT = example.perpetual("BTCUSDT-PERP.BINANCE", price_precision=TICK, fee=FEE)
PROBABILITIES = (Action.HOLD, Action.BUY, Action.SELL)


class Recorded(QuantumTraderStrategy):
    """Keeps its decisions."""

    def __init__(self, config: QuantumTraderConfig) -> None:
        self.made: list[Decision] = []
        super().__init__(config)

    def on_decision(self, decision: Decision) -> None:
        self.made.append(decision)


def strategy(run: Path) -> Recorded:
    """A fresh one."""
    size = Decimal(1)
    return Recorded(QuantumTraderConfig(bar_type=example.hours(INSTRUMENT), run=str(run), trade_size=size))


def engine_for(bars: Bars) -> BacktestEngine:
    """An engine whose account is never short of margin."""
    config = BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True))
    return example.engine_for(INSTRUMENT, bars, balance=1e7, config=config)


def answers(decisions: list[Decision]) -> dict[int | None, tuple[object, ...]]:
    """What is compared of each decision, by the bar's open."""
    return {made.timestamp: (made.action, made.probabilities, made.source, made.atr) for made in decisions}


@pytest.fixture(scope="module")
def streamed(reference: Reference, bot_run: Path) -> tuple[list[Decision], pd.DataFrame]:
    """All decisions of one backtest in nautilus, and its positions."""
    engine, bot = engine_for(reference.market.bars), strategy(bot_run)
    engine.add_strategy(bot)
    engine.run()
    positions = engine.trader.generate_positions_report()
    engine.dispose()
    return bot.made, positions


def test_every_decision_is_that_of_our_backtest(
    streamed: tuple[list[Decision], pd.DataFrame], reference: Reference
) -> None:
    """On every usable bar: action, probabilities and source to the bit, with the same ATR."""
    made, market, ours = streamed[0], reference.market, reference.decisions
    assert [decision.timestamp for decision in made] == market.bars.timestamp.tolist()
    usable = [made[end] for end in reference.ends.tolist()]
    assert [decision.action for decision in usable] == ours.actions.tolist()
    table = np.array([decision.probabilities for decision in usable])
    np.testing.assert_array_equal(table, ours.signals.probabilities[:, list(PROBABILITIES)])
    assert tuple(decision.source for decision in usable) == ours.source
    np.testing.assert_array_equal([decision.atr for decision in usable], market.atr[reference.ends])


def test_trades_are_those_of_run_actions(
    streamed: tuple[list[Decision], pd.DataFrame], reference: Reference, bot_run: Path
) -> None:
    """Same bars and sides, and the same prices to the tick but where a bar meets both stop and target."""
    made, positions = streamed
    settings = load_arbiter(bot_run).settings
    bars = reference.market.bars
    ours = our_trades(reference, made, bot_run).iloc[:-1]
    theirs = positions.iloc[: len(ours)].reset_index(drop=True)
    assert len(positions) - len(ours) in (0, 1)  # what is open at the end
    assert list(pd.to_datetime(theirs["ts_opened"])) == list(ours["entry_time"])
    assert list(theirs["entry"] == "SELL") == list(ours["side"] < 0)
    np.testing.assert_allclose(theirs["avg_px_open"].astype(float), ours["entry_price"], rtol=1e-12)
    inside = ours["exit_reason"].isin(["stop_loss", "take_profit"]).to_numpy()
    # What happens inside a bar carries the time of its close.
    closed = ours["exit_time"] + pd.to_timedelta(np.where(inside, 1, 0), unit="h")
    assert list(pd.to_datetime(theirs["ts_closed"])) == list(closed)
    reach = settings.barrier_atr * reference.market.atr[ours["entry_bar"] - 1]
    high, low = bars.high[ours["exit_bar"]], bars.low[ours["exit_bar"]]
    both = inside & (high >= ours["entry_price"] + reach) & (low <= ours["entry_price"] - reach)
    off = np.abs(theirs["avg_px_close"].astype(float) - ours["exit_price"])
    assert (off[~both] <= 10.0**-TICK).all()
    reasons = ["order", "max_holding", "stop_loss", "take_profit"]
    assert ours["exit_reason"].value_counts()[reasons].min() > 9


def our_trades(reference: Reference, made: list[Decision], run: Path) -> pd.DataFrame:
    """`run_actions` by the labels' rules, from the first full window on as a bot trades."""
    contract = FuturesContract(name="plain", taker_fee=float(FEE), slippage=0.0, lot_size=0.001)
    market = Market.build(reference.market.bars, contract)
    market = replace(market, usable=np.arange(len(market)) >= WINDOW - 1)
    settings = load_arbiter(run).settings
    rules = EnvConfig(
        take_profit_atr=settings.barrier_atr,
        stop_loss_atr=settings.barrier_atr,
        max_holding_bars=settings.horizon_bars,
    )
    actions = np.array([decision.action for decision in made], dtype=np.int8)
    return run_actions(market, actions, rules).trades()


def test_a_saved_strategy_goes_on_as_if_it_had_never_stopped(
    streamed: tuple[list[Decision], pd.DataFrame], reference: Reference, bot_run: Path
) -> None:
    """Saved in the middle and loaded into a fresh engine, it makes the very decisions it would have made.

    That holds even where a funding rate was announced before the break and settles after it.
    """
    bars, half = reference.market.bars, 400
    assert np.isfinite(bars.funding_rate[half])
    first, before = engine_for(bars[:half]), strategy(bot_run)
    first.add_data(example.funding_updates(bars[half : half + 1], INSTRUMENT))
    first.add_strategy(before)
    first.run()
    state = before.save()
    first.dispose()
    rest = bars[half : half + 200]
    rest = replace(rest, funding_rate=np.where(np.arange(200) == 0, np.nan, rest.funding_rate))
    second, after = engine_for(rest), strategy(bot_run)
    second.add_strategy(after)
    after.load(state)
    second.run()
    second.dispose()
    assert answers(before.made + after.made) == answers(streamed[0][: half + 200])
    assert after.made[0].source != "none"


def test_warm_up_comes_from_the_history_asked_for(
    reference: Reference, bot_run: Path, tmp_path: Path
) -> None:
    """Past bars of a catalog reach the models through `request_bars` before the first live bar."""
    bars, half = replace(reference.market.bars, funding_rate=np.full(len(reference.market), np.nan)), 400
    catalog = ParquetDataCatalog(tmp_path)
    catalog.write_data([INSTRUMENT])
    catalog.write_data(example.nautilus_bars(bars[:half], INSTRUMENT))
    config = BacktestEngineConfig(
        logging=LoggingConfig(bypass_logging=True), catalogs=[DataCatalogConfig(path=str(tmp_path))]
    )
    engine = example.engine_for(INSTRUMENT, bars[half : half + 20], balance=1e7, config=config)
    bot = strategy(bot_run)
    engine.add_strategy(bot)
    engine.run()
    engine.dispose()
    arbiter = load_arbiter(bot_run)
    arbiter.add_to_history(SYMBOL, bars[:half])
    ours = [arbiter.decide(SYMBOL, bars.bar(row)) for row in range(half, half + 20)]
    assert answers(bot.made) == answers(ours)
    assert bot.made[0].source != "none"


def test_a_bar_may_end_a_millisecond_early(reference: Reference, bot_run: Path) -> None:
    """Binance stamps a close at :59.999; the bar is still that of the full hour."""
    bars = reference.market.bars[:70]
    early = [_earlier(bar) for bar in example.nautilus_bars(bars, INSTRUMENT)]
    engine, bot = engine_for(bars), strategy(bot_run)
    engine.clear_data()
    engine.add_data(early)
    engine.add_strategy(bot)
    engine.run()
    engine.dispose()
    assert [decision.timestamp for decision in bot.made] == bars.timestamp.tolist()
    assert bot.made[-1].source != "none"


def _earlier(bar: Bar) -> Bar:
    moment = bar.ts_event - 1_000_000
    return Bar(bar.bar_type, bar.open, bar.high, bar.low, bar.close, bar.volume, moment, moment)


def test_a_position_without_a_stop_is_closed(reference: Reference, bot_run: Path) -> None:
    """A stop that the venue refuses, here one on the wrong side of the price, ends the position at once."""
    engine, bot = engine_for(reference.market.bars[:300]), strategy(bot_run)
    bot.arbiter.settings = replace(bot.arbiter.settings, barrier_atr=-1.0)
    engine.add_strategy(bot)
    engine.run()
    positions = engine.trader.generate_positions_report()
    assert len(positions) > 3
    assert list(positions["ts_closed"]) == list(positions["ts_opened"])
    assert not engine.cache.orders_open()
    engine.dispose()


def test_the_example_runs_from_the_command_line(reference: Reference, bot_run: Path, tmp_path: Path) -> None:
    """The README's command backtests a file of bars and prints positions."""
    write_bars(reference.market.bars[:400], tmp_path / f"{SYMBOL}.parquet")
    command = [sys.executable, example.__file__, tmp_path / f"{SYMBOL}.parquet", "--run", bot_run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_800)
    assert done.returncode == 0, done.stderr
    assert "BTCUSDT-PERP.BINANCE" in done.stdout
