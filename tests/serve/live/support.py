"""A live session without a network: bars by a virtual clock, an Arbiter that follows the last return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.config import BOOK, JOURNAL, Plan
from quantum_trader.serve.live.errors import FeedError
from quantum_trader.serve.live.feed import Settlements
from quantum_trader.serve.live.loop_config import LoopConfig
from quantum_trader.serve.live.run import MakeArbiter, Surroundings, run_live

HOUR_MS = 3_600_000
RULES = EnvConfig(take_profit_atr=1.5, stop_loss_atr=1.5, max_holding_bars=6, leverage=3.0)
WARMUP = 260
"""Enough for every indicator to have a value: the first bars of a market are not usable."""
SOON_S = 300.0
"""Seconds to wait for what comes at once on a machine that is not busy."""
LOOP = LoopConfig(warmup_bars=WARMUP, together_s=SOON_S)
"""Nobody here is slow but by want of a processor: all symbols of a close are decided on together."""
OPEN = GateSettings(hold_threshold=0.9, confidence_threshold=0.5)


def series(symbols: tuple[str, ...], bars: int = 600) -> dict[str, Bars]:
    """Bars of each symbol, different ones, on the same hours."""
    return {
        symbol: synthetic_bars(SyntheticConfig(bars=bars, seed=seed, symbol=symbol, volatility=0.01))
        for seed, symbol in enumerate(symbols)
    }


class LastReturn:
    """Stands for XGBoost: follows the sign of the newest bar's return, and holds after small ones."""

    name = "xgboost"
    model_hash = "last-return"

    def signals(self, inputs: ModelInputs) -> Signals:
        returns = inputs.windows[:, -1, 0]
        table = np.full((len(returns), 3), 0.05, dtype=np.float32)
        choice = np.where(returns > 0.3, 1, np.where(returns < -0.3, 2, 0))
        table[np.arange(len(returns)), choice] = 0.9
        return Signals(probabilities=table)


def make_arbiter(plan: Plan, clock: VenueClock) -> Arbiter:
    """An Arbiter of one member whose decisions depend on the bars alone."""
    return Arbiter(
        tft=None,
        ppo=None,
        fallback=LastReturn(),
        settings=replace(ArbiterSettings(fallback=OPEN), latency_budget_ms=0.0),
        scaler=REFERENCE_SCALER,
        contracts=plan.contracts,
        live=LiveConfig(max_delay_bars=LOOP.max_delay_bars),
        clock=clock.now_ms,
    )


class Venue:
    """A feed of given bars whose clock moves when somebody sleeps.

    `broken` maps a symbol to what its requests raise; `hook` is called with the venue's time before every
    answer and may raise or change things.
    """

    def __init__(self, bars: Mapping[str, Bars], start_bar: int) -> None:
        self.bars = dict(bars)
        first = next(iter(bars.values()))
        self.clock_ms = float(first.timestamp[start_bar] + 1_000)
        self.asked: list[tuple[str, int, int]] = []
        self.broken: dict[str, Exception] = {}
        self.hook: Callable[[str], None] = lambda symbol: None
        self.offset_ms = 0.0
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        return int(self.clock_ms + self.offset_ms)

    def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
        with self._lock:
            self.asked.append((symbol, since_ms, until_ms))
        self.hook(symbol)
        if symbol in self.broken:
            raise self.broken[symbol]
        bars = self.bars[symbol]
        rows = np.flatnonzero((bars.timestamp >= since_ms) & (bars.timestamp + bars.step_ms <= self.now_ms()))
        return [bars.bar(int(row)) for row in rows if bars.timestamp[row] + bars.step_ms <= until_ms]

    def marked(self, symbol: str, bars: Sequence[Bar]) -> list[Bar]:
        return list(bars)

    def prepare(self, symbol: str, now_ms: int) -> Settlements:
        self.hook(symbol)
        return Settlements()

    def sleep(self, seconds: float) -> None:
        self.clock_ms += max(seconds, 0.001) * 1000.0

    def clock(self, wall_offset_s: float = 0.0) -> VenueClock:
        return VenueClock(
            self.now_ms,
            monotonic=lambda: self.clock_ms / 1000.0,
            wall=lambda: self.clock_ms / 1000.0 + wall_offset_s,
        )


def live(
    folder: Path,
    venue: Venue,
    *,
    symbols: tuple[str, ...] | None = None,
    bars: int = 30,
    loop: LoopConfig = LOOP,
    rules: EnvConfig = RULES,
    contracts: dict[str, FuturesContract] | None = None,
    clock: VenueClock | None = None,
    stopped: Callable[[], bool] = lambda: False,
    lines: list[str] | None = None,
    arbiter: MakeArbiter = make_arbiter,
) -> list[str]:
    """Run a session until `bars` bars are decided on; the lines it said."""
    said: list[str] = [] if lines is None else lines
    names = tuple(venue.bars) if symbols is None else symbols
    guessed = {name: guess_preset(name) for name in names}
    plan = Plan(exchange="fake", timeframe="1h", rules=rules, contracts={**guessed, **(contracts or {})})
    world = Surroundings(
        feed=venue,
        clock=clock if clock is not None else venue.clock(),
        sleep=venue.sleep,
        stopped=stopped,
        say=said.append,
    )
    run_live(folder, plan, replace(loop, bars=bars), world, make_arbiter=arbiter)
    return said


def journaled(folder: Path, symbol: str) -> tuple[list[int], list[int]]:
    """Opens of the bars decided on, and the actions, of the journal."""
    with JournalReader(folder / JOURNAL) as reader:
        entries = [row.entry for row in reader.rows(symbols=[symbol])]
    return [entry.bar_ms for entry in entries], [int(entry.action) for entry in entries]


def backtest(folder: Path, symbol: str, bars: Bars, rules: EnvConfig = RULES) -> Record:
    """`run_actions` on the bars from the warm-up to the last decision, with the journal's actions."""
    moments, actions = journaled(folder, symbol)
    first = int(np.searchsorted(bars.timestamp, moments[0]))
    last = int(np.searchsorted(bars.timestamp, moments[-1]))
    market = Market.build(bars[first - WARMUP : last + 1], guess_preset(symbol))
    chosen = np.zeros(len(market))
    chosen[np.searchsorted(market.bars.timestamp, moments)] = actions
    return run_actions(market, chosen, rules, start=WARMUP - 1, flatten=False)


def assert_equals_backtest(
    folder: Path, bars: Mapping[str, Bars], *, trades: int = 1, rules: EnvConfig = RULES
) -> None:
    """Equity at every bar, trades and fills of every symbol, to the bit."""
    book = PaperBook(folder / BOOK, read_only=True)
    try:
        for symbol in bars:
            record = backtest(folder, symbol, bars[symbol], rules)
            found = book.equity(symbol)
            expected = record.history().iloc[-len(found) :]
            assert found["time"].tolist() == expected["time"].tolist()
            assert found["equity"].tolist() == expected["equity"].tolist()
            assert found["position"].tolist() == expected["position"].tolist()
            mine, theirs = book.trades(symbol), record.trades()
            columns = [name for name in mine if name not in ("entry_bar", "exit_bar")]
            assert mine[columns].to_dict("list") == theirs[columns].to_dict("list")
            fills = book.fills(symbol).drop(columns="bar").to_dict("list")
            assert fills == record.fills().drop(columns="bar").to_dict("list")
            assert len(mine) >= trades
    finally:
        book.close()


def gone(symbol: str) -> FeedError:
    return FeedError(f"refuses candles of {symbol}: Invalid symbol.")
