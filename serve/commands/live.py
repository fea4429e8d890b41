"""`quantum-trader live`: decide on an exchange's bars as they close, and trade on paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from quantum_trader.serve.live.loop_config import LoopConfig

if TYPE_CHECKING:
    from quantum_trader.agents.arbiter import Arbiter
    from quantum_trader.serve.live.clock import VenueClock
    from quantum_trader.serve.live.config import Plan


@dataclass(frozen=True, kw_only=True)
class Live:
    """Poll an exchange's closed bars, decide on each, and keep a paper account per symbol.

    No order is ever placed: nothing takes credentials. The same command goes on where it was stopped or
    killed; bars that closed meanwhile are made up for and not traded. Ends with Ctrl-C or SIGTERM.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, e.g. runs/demo, or of its models."""
    symbols: str
    """Symbols as the exchange calls them, separated by commas, e.g. BTCUSDT,ETHUSDT."""
    state: Path
    """Folder for the journal, the accounts and the status; the same folder goes on."""
    exchange: str = "binanceusdm"
    """Exchange by its name in ccxt; its public data is all that is asked for."""
    timeframe: str = "1h"
    """Length of a bar: that of the bars the models were trained on."""
    leverage: float = 1.0
    """Notional of a position as a multiple of equity; raising it scales profit, loss and costs alike."""
    initial_balance: float = 10_000.0
    """Quote currency each symbol's account starts with."""
    contract: str = ""
    """Costs and margins of every symbol: a preset's name or a JSON file; empty guesses from each name."""
    confidence_threshold: float | None = None
    """Gate of the Arbiter instead of the fitted one, e.g. 0.65."""
    connections: int = 4
    """Requests that may run at a time."""
    requests_per_second: float = 20.0
    """Requests a second, all together; lower it where other programs share this address."""
    mark: bool = True
    """Whether to ask for mark prices, one more request a bar; without them accounts go by the last price."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """How the exchange is polled."""

    def run(self) -> None:
        """Go on until told to end."""
        import sys

        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.evaluate.backtest import BacktestConfig
        from quantum_trader.serve.live.clock import VenueClock
        from quantum_trader.serve.live.config import Plan, chosen_contracts
        from quantum_trader.serve.live.exchange_feed import open_feed
        from quantum_trader.serve.live.run import Ending, Surroundings, run_live

        names = [name.strip() for name in self.symbols.split(",") if name.strip()]
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"--symbols: expected different names such as BTCUSDT,ETHUSDT, found {self.symbols!r}."
            )
        if self.connections < 1 or not 0.0 < self.requests_per_second < float("inf"):
            raise ConfigError(
                "--connections must be at least 1 and --requests-per-second a number above 0, found "
                f"{self.connections} and {self.requests_per_second:g}."
            )
        loaded = self._loaded()
        settings = loaded.settings
        rules = BacktestConfig(
            barrier_atr=settings.barrier_atr,
            horizon_bars=settings.horizon_bars,
            leverage=self.leverage,
            initial_balance=self.initial_balance,
        ).environment("signal")
        plan = Plan(
            exchange=self.exchange,
            timeframe=self.timeframe,
            rules=rules,
            contracts=chosen_contracts(names, self.contract),
        )

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        with Ending().listening() as ending:
            feed = open_feed(
                self.exchange,
                self.timeframe,
                connections=self.connections,
                per_second=self.requests_per_second,
                mark=self.mark,
                sleep=ending.sleep,
            )
            world = Surroundings(
                feed=feed,
                clock=VenueClock(feed.now_ms),
                sleep=ending.sleep,
                stopped=ending.stopped,
                say=say,
            )
            run_live(
                self.state,
                plan,
                self.loop,
                world,
                make_arbiter=lambda plan, clock: self._set_up(loaded, plan, clock),
                contract_given=bool(self.contract),
                check=feed.check,
            )

    def _loaded(self) -> Arbiter:
        """The run's models, which are read once."""
        from quantum_trader.agents.arbiter_folder import load_arbiter
        from quantum_trader.agents.self_check import self_check
        from quantum_trader.serve.garbage import set_aside

        arbiter = load_arbiter(self.run_folder, confidence_threshold=self.confidence_threshold)
        self_check(arbiter)
        set_aside()
        return arbiter

    def _set_up(self, loaded: Arbiter, plan: Plan, clock: VenueClock) -> Arbiter:
        """An Arbiter without histories, with the models and settings of `loaded`."""
        from quantum_trader.agents.arbiter import Arbiter
        from quantum_trader.agents.live_config import LiveConfig
        from quantum_trader.envs.sources.timeframes import timeframe_ms

        return Arbiter(
            tft=loaded.tft,
            ppo=loaded.ppo,
            fallback=loaded.fallback,
            settings=loaded.settings,
            scaler=loaded.scaler,
            problems=loaded.problems,
            model_hash=loaded.model_hash,
            contracts=plan.contracts,
            step_ms=timeframe_ms(self.timeframe),
            live=LiveConfig(max_delay_bars=self.loop.max_delay_bars),
            drift=None if loaded.drift_watch is None else loaded.drift_watch.reference,
            clock=clock.now_ms,
        )


@dataclass(frozen=True, kw_only=True)
class LiveStatus:
    """Print what the paper accounts of a live session have come to, while it runs or after."""

    state: Annotated[Path, tyro.conf.Positional]
    """Folder that was given to `live` as --state."""
    json: bool = False
    """Print JSON in place of a table."""

    def run(self) -> None:
        """Print it."""
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.live.status import described, results_json

        say(results_json(self.state) if self.json else described(self.state))


@dataclass(frozen=True, kw_only=True)
class LiveExport:
    """Write the trades, fills, equity or bars of a live session's paper accounts to one file."""

    state: Annotated[Path, tyro.conf.Positional]
    """Folder that was given to `live` as --state."""
    output: Annotated[Path, tyro.conf.Positional]
    """The file to write; its suffix, .parquet or .csv, names the format."""
    what: Literal["trades", "fills", "equity", "bars"] = "trades"
    """One row a closed trade, a fill, a bar's equity, or a bar as the account met it."""
    symbols: str = ""
    """Symbols to write, separated by commas; empty writes all."""

    def run(self) -> None:
        """Write the file."""
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.live.export import export

        rows = export(self.state, self.output, what=self.what, symbols=self.symbols)
        say(f"{self.output}: {rows:,} rows of {self.what}")
