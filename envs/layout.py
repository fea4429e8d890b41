"""The records that the compiled environment works on: an account, a bar, the rules, a closed trade.

Outside compiled code they are rows of plain float64 matrices, one column per field in the order of the
class. Inside, `matrix.view(ACCOUNT)[i, 0]` is a record whose fields are read and written by name: a single
pointer, without the reference counting that array views cost in every call, and under the plain interpreter
it works just the same. Whole numbers up to 2^53 are exact in float64, so row indices and counters are kept
that way too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Records = NDArray[Any]

MAX_TIERS = 16


class Account:
    """One account. Money is quote currency; counters run from the start of the episode."""

    row: float  # bar last seen, index into the joined bars
    step: float  # steps taken
    reward: float
    terminated: float
    truncated: float
    equity: float  # balance + unrealised pnl at the mark
    balance: float  # realised: what is left of the initial balance once every closed trade is settled
    quantity: float  # signed base units
    units: float  # signed units (share of the leverage with continuous actions)
    entry: float  # average fill price of the position
    margin: float  # isolated margin of the position, part of the balance
    liquidation: float  # liquidation price; 0 where there is none
    gross_pnl: float  # realised, at prices before slippage
    fees: float
    slippage: float
    funding: float  # paid minus received
    liquidation_costs: float  # margin forfeited beyond the loss and the clearance fee
    liquidations: float
    trades: float  # closed
    fills: float  # executions
    market: float
    length: float  # steps until truncation; 0 unlimited
    leverage: float  # of this episode
    cost: float  # factor on fees and slippage in this episode
    notional_cap: float  # largest notional allowed at that leverage
    peak: float  # highest equity at a close
    entry_row: float  # bar at whose open the position was opened
    stop: float  # stop-loss price, infinitely far where there is none
    target: float  # take-profit price, infinitely far where there is none
    position_fees: float  # paid for opening what is still open
    position_slippage: float
    position_funding: float
    intent_1: float  # delayed decisions, the nearer first; NaN is none
    unit_1: float
    intent_2: float
    unit_2: float
    mean_return: float  # moving averages of the differential Sharpe ratio
    mean_square: float
    episode_return: float  # sum of rewards


class Start:
    """How an episode begins."""

    row: float  # bar at whose close the first decision is taken
    market: float  # the market of that bar
    length: float  # steps until truncation, 0 for no limit
    leverage: float
    cost: float  # factor on fees and slippage


class Quote:
    """One bar as the account meets it."""

    open: float
    high: float
    low: float
    close: float
    mark_open: float
    mark_high: float
    mark_low: float
    mark_close: float
    funding_rate: float  # 0 where none settles
    atr: float
    to_funding: float  # share of the funding interval left at the close
    open_ended: float  # 1 where a decision may be taken at the close and the next bar follows


class Rules:
    """What is fixed for one market and one configuration."""

    mode: float
    max_units: float
    fee: float
    commission: float  # per base unit
    slippage: float
    liquidation_fee: float
    tick: float
    lot: float
    min_notional: float
    reserve: float  # 1 if an order reserves the fee of closing
    on_entry: float  # 1 if the maintenance margin is taken on the entry price
    delay: float
    take_profit: float
    stop_loss: float
    max_holding: float
    initial_balance: float
    floor: float  # equity at or below which the episode terminates
    reward: float
    reward_parameter: float
    tiers: Matrix  # [MAX_TIERS, 5], see `quantum_trader.envs.rules`


class Trade:
    """One closed trade, or the closed part of one."""

    entry_row: float
    exit_row: float
    side: float
    quantity: float
    entry_price: float
    exit_price: float
    gross_pnl: float
    fees: float
    slippage: float
    funding: float
    liquidation_cost: float
    net_pnl: float
    reason: float


class Fill:
    """One execution."""

    row: float
    side: float  # +1 bought, -1 sold
    quantity: float
    price: float
    fee: float  # a liquidation's clearance fee included
    slippage: float
    pnl: float  # realised, at the fill's price
    position: float  # signed base units afterwards
    reason: float


class TradeLog:
    """What one step did.

    Trades: at most one closed at the open, and inside the bar the one opened there. Fills: closing and
    opening at the open, and closing inside the bar.
    """

    count: float
    first: Trade
    second: Trade
    fills: float
    fill_1: Fill
    fill_2: Fill
    fill_3: Fill


class Seen:
    """What an agent is shown of an account, as `quantum_trader.envs.env.FuturesTradingEnv` explains."""

    position: float
    unrealised_pnl: float
    exposure: float
    margin_ratio: float
    liquidation_distance: float
    bars_in_position: float
    time_to_funding: float
    drawdown: float
    stop_distance: float
    target_distance: float
    pending: float


def _record(kind: type, **shapes: tuple[int, ...]) -> np.dtype[Any]:
    """float64 fields named as the annotations of `kind`; `np.record` makes them attributes in Python."""
    return np.dtype((np.record, [(name, np.float64, shapes.get(name, ())) for name in kind.__annotations__]))


ACCOUNT = _record(Account)
START = _record(Start)
QUOTE = _record(Quote)
RULES = _record(Rules, tiers=(MAX_TIERS, 5))
TRADE = _record(Trade)
FILL = _record(Fill)
SEEN = np.dtype((np.record, [(name, np.float32) for name in Seen.__annotations__]))
TRADE_LOG = np.dtype(
    (
        np.record,
        [
            ("count", np.float64),
            ("first", TRADE),
            ("second", TRADE),
            ("fills", np.float64),
            ("fill_1", FILL),
            ("fill_2", FILL),
            ("fill_3", FILL),
        ],
    )
)


def matrix(rows: int, kind: np.dtype[Any]) -> Matrix:
    """float64 [rows, fields], zeros: the matrix to hold `rows` records of `kind`."""
    return np.zeros((rows, kind.itemsize // 8))


def records(rows: Matrix, kind: np.dtype[Any]) -> Records:
    """The rows of a matrix as records, sharing memory: `records(m, ACCOUNT)["equity"]` is float64 [rows]."""
    view: Records = rows.view(kind)
    return view[:, 0]


EXIT_REASONS = ("order", "reverse", "take_profit", "stop_loss", "max_holding", "liquidation", "end")
FILL_REASONS = (*EXIT_REASONS, "open")
BY_ORDER, BY_REVERSE, BY_TAKE_PROFIT, BY_STOP_LOSS, BY_MAX_HOLDING, BY_LIQUIDATION, BY_END, BY_OPEN = range(8)
MODE_ORDER, MODE_TARGET, MODE_CONTINUOUS = range(3)
LOG_EQUITY, PROFIT, DIFFERENTIAL_SHARPE, DRAWDOWN_PENALISED = range(4)
