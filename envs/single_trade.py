"""`single_trade`: what one trade on one decision comes to, by the account rules of the environments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.batch import open_accounts, replay_actions
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import rule_matrix
from quantum_trader.envs.journal import Journal
from quantum_trader.envs.layout import EXIT_REASONS, QUOTE, START, TRADE, Matrix, matrix, records
from quantum_trader.envs.quotes import put_market

_ACCOUNT = np.zeros(1, dtype=np.int64)
_TRADE_FIELDS = tuple(TRADE.names or ())
_MONEY = (
    *("quantity", "entry_price", "exit_price", "gross_pnl", "fees", "slippage", "funding"),
    *("liquidation_cost", "net_pnl"),
)


@dataclass(frozen=True, kw_only=True)
class SingleTrade:
    """One closed trade; money is quote currency."""

    side: int
    """+1 long, -1 short."""
    entry_bar: int
    """Bar at whose open it was filled, counted from the first bar after the decision."""
    exit_bar: int
    """Bar in which it was closed."""
    exit_reason: str
    """One of `quantum_trader.envs.layout.EXIT_REASONS`."""
    quantity: float
    """Base units."""
    entry_price: float
    """Of the fill, slippage included."""
    exit_price: float
    gross_pnl: float
    """At prices before slippage."""
    fees: float
    slippage: float
    funding: float
    """Paid minus received."""
    liquidation_cost: float
    net_pnl: float
    """gross_pnl - fees - slippage - funding - liquidation_cost."""

    @property
    def gross_return(self) -> float:
        """Profit before all costs, as a fraction of the notional at entry."""
        return self.gross_pnl / (self.quantity * self.entry_price)

    @property
    def net_return(self) -> float:
        """Profit after all costs, as a fraction of the notional at entry."""
        return self.net_pnl / (self.quantity * self.entry_price)


def single_trade(
    after: Bars,
    side: Action,
    *,
    close: float,
    atr: float,
    contract: FuturesContract,
    config: EnvConfig,
) -> SingleTrade | None:
    """Trade one decision alone, from the open of the next bar to its exit.

    The very loop of `run_actions` goes over the bars: fees, slippage, funding, take-profit, stop-loss,
    longest holding time and liquidation are what a backtest with this one order gives, to the bit.

    Args:
        after: the bars after the one decided on; those behind the exit play no part.
        side: BUY or SELL.
        close: of the bar decided on: it sizes the order.
        atr: ATR14 at that close, price units: it places the exits.
        contract: of the instrument.
        config: with `actions="order"`, nothing random and no delay; `initial_balance` must pay for a lot.

    Returns:
        The trade, or None where it is still open after the last bar, or the venue would refuse the order.

    Raises:
        ConfigError: a side that is neither BUY nor SELL, or a configuration of another kind.
    """
    _check(side, config)
    if len(after) == 0:
        return None
    quotes = _quotes(after, close, atr, contract)
    journal = Journal(len(after))
    actions = np.zeros(len(after) + 1)
    actions[0] = float(side)
    rules = _rules(contract, config)
    open_accounts(journal.account, _ACCOUNT, _start(config), rules)
    replay_actions(journal.run, journal.steps, actions, quotes, rules, 0, False)
    return None if len(journal.trades) == 0 else _trade(journal.trades)


def _check(side: Action, config: EnvConfig) -> None:
    if side not in (Action.BUY, Action.SELL):
        raise ConfigError(f"side: expected BUY or SELL, found {side!r}.")
    fixed = config.leverage_range is None and config.cost_range is None
    if config.actions != "order" or config.delay_bars != 0 or not fixed:
        raise ConfigError(
            'A single trade needs actions="order", delay_bars=0 and neither leverage_range nor cost_range.'
        )


def _quotes(after: Bars, close: float, atr: float, contract: FuturesContract) -> Matrix:
    """float64 [1 + T, fields of `Quote`]: the bar decided on, of which two numbers are used, and the rest."""
    rows = matrix(len(after) + 1, QUOTE)
    quotes = records(rows, QUOTE)
    put_market(quotes[1:], after, contract)
    quotes["close"][0] = close
    quotes["atr"][0] = atr
    quotes["open_ended"] = 1.0
    rows.setflags(write=False)  # what compiled loops are specialised on
    return rows


@lru_cache(maxsize=1024)
def _rules(contract: FuturesContract, config: EnvConfig) -> Matrix:
    rules = rule_matrix(contract, config)
    rules.setflags(write=False)
    return rules


@lru_cache(maxsize=1024)
def _start(config: EnvConfig) -> Matrix:
    start = matrix(1, START)
    first = records(start, START)
    first["leverage"], first["cost"] = config.leverage, config.cost_multiplier
    return start


def _trade(closed: Matrix) -> SingleTrade:
    trade = dict(zip(_TRADE_FIELDS, closed[0].tolist(), strict=True))
    return SingleTrade(
        side=int(trade["side"]),
        entry_bar=int(trade["entry_row"]) - 1,
        exit_bar=int(trade["exit_row"]) - 1,
        exit_reason=EXIT_REASONS[int(trade["reason"])],
        **{name: trade[name] for name in _MONEY},
    )
