"""`run_actions`: a whole backtest of known actions in one compiled pass, by the rules of the environments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.bars import Floats, Milliseconds
from quantum_trader.envs.batch import open_accounts, replay_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import join_markets
from quantum_trader.envs.journal import Journal
from quantum_trader.envs.layout import ACCOUNT, Matrix, Records, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.records import fills_frame, history_frame, trades_frame
from quantum_trader.envs.starts import fixed_starts

_ACCOUNT = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What an account did over `n` bars.

    Attributes:
        first: index in the market of the bar of the first decision, which is row 0 of every array.
        timestamp: int64 [n], bar opens.
        rows: float64 [n, fields of `quantum_trader.envs.layout.Account`], the account after each bar.
        closed: float64 [trades, fields of `quantum_trader.envs.layout.Trade`].
        executed: float64 [fills, fields of `quantum_trader.envs.layout.Fill`].
        initial_balance: equity before the first trade.
        bars_done: bars until the equity floor ended trading; n if it was never reached.
    """

    first: int
    timestamp: Milliseconds
    rows: Matrix
    closed: Matrix
    executed: Matrix
    initial_balance: float
    bars_done: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def _accounts(self) -> Records:
        return records(self.rows, ACCOUNT)

    @property
    def equity(self) -> Floats:
        """float64 [n]: equity at each close; the first is the initial balance."""
        return self._accounts["equity"]

    @property
    def position(self) -> Floats:
        """float64 [n]: signed base units held at each close."""
        return self._accounts["quantity"]

    @property
    def units(self) -> Floats:
        """float64 [n]: signed units held at each close."""
        return self._accounts["units"]

    @property
    def log_returns(self) -> Floats:
        """float64 [n - 1]: ln of equity over the equity one bar before; equity of zero gives -inf."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nan_to_num(np.diff(np.log(self.equity)), nan=0.0, neginf=-np.inf)

    @property
    def gross_pnl(self) -> float:
        """Realised profit at prices before slippage."""
        return float(self._accounts["gross_pnl"][-1])

    @property
    def fees(self) -> float:
        """Trading and clearance fees paid."""
        return float(self._accounts["fees"][-1])

    @property
    def slippage(self) -> float:
        """Lost to slippage and the spread."""
        return float(self._accounts["slippage"][-1])

    @property
    def funding(self) -> float:
        """Funding paid minus received."""
        return float(self._accounts["funding"][-1])

    @property
    def liquidation_costs(self) -> float:
        """Margin forfeited in liquidations beyond the loss and the clearance fee."""
        return float(self._accounts["liquidation_costs"][-1])

    @property
    def liquidations(self) -> int:
        """Number of liquidations."""
        return int(self._accounts["liquidations"][-1])

    @property
    def ruined(self) -> bool:
        """Whether the equity floor ended trading before the last bar."""
        return self.bars_done < len(self.rows)

    def history(self) -> pd.DataFrame:
        """One row per bar: see `quantum_trader.envs.records.history_frame`."""
        frame = history_frame(self.rows, self.timestamp, self.first)
        frame["bar"] += self.first
        return frame

    def trades(self) -> pd.DataFrame:
        """One row per closed trade: see `quantum_trader.envs.records.trades_frame`."""
        frame = trades_frame(self.closed, self.timestamp, self.first)
        frame[["entry_bar", "exit_bar"]] += self.first
        return frame

    def fills(self) -> pd.DataFrame:
        """One row per execution: see `quantum_trader.envs.records.fills_frame`."""
        frame = fills_frame(self.executed, self.timestamp, self.first)
        frame["bar"] += self.first
        return frame


def run_actions(
    market: Market,
    actions: NDArray[Any],
    config: EnvConfig | None = None,
    start: int | None = None,
    stop: int | None = None,
    *,
    flatten: bool = True,
) -> Record:
    """Trade `actions` over bars `start` to `stop` of `market`.

    The account, its costs and the order of events are those of `FuturesTradingEnv`, to the bit, with two
    differences that a backtest needs: before a long gap the position is closed at the last close (fee and
    slippage included) and trading goes on once a window is complete again, and `flatten` closes what is
    open at the end.

    Args:
        market: T bars.
        actions: [T], the decision at the close of each bar, as in `config.actions`; those before the first
            usable bar and on bars without a complete window are not carried out.
        config: its `episode_bars`, `observe_account` and what is drawn at random play no part.
        start: first bar at whose close a decision may be taken; default `config.start`.
        stop: bar at which the data ends, itself excluded; default `config.stop`.
        flatten: close what is open at the last bar's close, paying for it.

    Raises:
        ConfigError: actions of another length or out of range, or a configuration the market does not allow.
    """
    config = config if config is not None else EnvConfig()
    chosen = _checked(np.asarray(actions), market, config)
    config = replace(
        config.full_pass(),
        start=config.start if start is None else start,
        stop=config.stop if stop is None else stop,
    )
    joined = join_markets([market], config)
    first = int(joined.starts[0])
    end = len(market) if config.stop is None else min(config.stop, len(market))
    journal = Journal(end - first - 1)
    open_accounts(journal.account, _ACCOUNT, fixed_starts(joined, config, joined.starts), joined.rules)
    journal.note()
    bars_done = replay_actions(
        journal.run, journal.steps, chosen[first:end], joined.bars, joined.rules, first, flatten
    )
    return Record(
        first=first,
        timestamp=market.bars.timestamp[first:end],
        rows=journal.full_history,
        closed=journal.trades.copy(),
        executed=journal.fills.copy(),
        initial_balance=config.initial_balance,
        bars_done=bars_done,
    )


def _checked(actions: NDArray[Any], market: Market, config: EnvConfig) -> Floats:
    if actions.shape != (len(market),):
        raise ConfigError(
            f"Expected one action per bar, shape ({len(market)},) for {market.symbol}, found {actions.shape}."
        )
    highest = {"order": 2.0, "target": 2.0 * config.max_units, "continuous": 1.0}[config.actions]
    lowest = -1.0 if config.actions == "continuous" else 0.0
    chosen: Floats = actions.astype(np.float64)
    wrong = np.flatnonzero(~((chosen >= lowest) & (chosen <= highest)))
    if len(wrong):
        raise ConfigError(
            f'"{config.actions}" actions lie between {lowest:g} and {highest:g}, '
            f"found {chosen[wrong[0]]:g} at bar {wrong[0]}."
        )
    return chosen
