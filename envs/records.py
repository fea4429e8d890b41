"""Account rows and trade rows as DataFrames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.layout import (
    ACCOUNT,
    EXIT_REASONS,
    FILL,
    FILL_REASONS,
    TRADE,
    Account,
    Matrix,
    matrix,
    records,
)
from quantum_trader.envs.rules import unrealised_pnl

INFO_FIELDS = {
    "equity": "equity",
    "balance": "balance",
    "position": "quantity",
    "units": "units",
    "entry_price": "entry",
    "margin": "margin",
    "liquidation_price": "liquidation",
    "gross_pnl": "gross_pnl",
    "fees": "fees",
    "slippage": "slippage",
    "funding": "funding",
    "liquidation_costs": "liquidation_costs",
    "liquidations": "liquidations",
    "trades": "trades",
}
"""Name in an info dictionary -> field of an account."""
_HISTORY = {**INFO_FIELDS, "reward": "reward"}
COLUMN = {name: column for column, name in enumerate(ACCOUNT.names or ())}
"""Column of each field in an account matrix."""
INFO_END = COLUMN["trades"] + 1


def account_info(numbers: list[Any], bar: int) -> dict[str, Any]:
    """The info dictionary, `INFO_FIELDS` and the bar, from the first `INFO_END` numbers of an account."""
    # Unpacking and one literal cost half of dict(zip(...)), in the hottest Python of an environment.
    (
        _,
        _,
        _,
        _,
        _,
        equity,
        balance,
        quantity,
        units,
        entry,
        margin,
        liquidation,
        gross_pnl,
        fees,
        slippage,
        funding,
        liquidation_costs,
        liquidations,
        trades,
    ) = numbers
    return {
        "equity": equity,
        "balance": balance,
        "position": quantity,
        "units": units,
        "entry_price": entry,
        "margin": margin,
        "liquidation_price": liquidation,
        "gross_pnl": gross_pnl,
        "fees": fees,
        "slippage": slippage,
        "funding": funding,
        "liquidation_costs": liquidation_costs,
        "liquidations": liquidations,
        "trades": trades,
        "bar": bar,
    }


def history_frame(history: Matrix, timestamp: NDArray[np.int64], offset: int) -> pd.DataFrame:
    """One row per bar of an episode, the bar of the first decision included.

    Columns: time (UTC, bar open), bar (index in the market), equity, balance, position (signed base units),
    units, entry_price, margin, liquidation_price; counted since the start: gross_pnl, fees, slippage,
    funding, liquidation_costs, liquidations, trades; reward of the bar.

    Args:
        history: float64 [n, fields of `Account`].
        timestamp: int64 [T], the market's bar opens.
        offset: row of the market's first bar.
    """
    accounts = records(history, ACCOUNT)
    bar = accounts["row"].astype(np.int64) - offset
    moments = pd.to_datetime(timestamp[bar], unit="ms", utc=True)
    columns = {name: accounts[field].copy() for name, field in _HISTORY.items()}
    frame = pd.DataFrame({"time": moments, "bar": bar, **columns})
    return frame.astype({"liquidations": np.int64, "trades": np.int64})


def trades_frame(trades: Matrix, timestamp: NDArray[np.int64], offset: int) -> pd.DataFrame:
    """One row per closed trade (a partly closed position gives one row per part), in the order of closing.

    Columns: entry_time, exit_time (UTC, opens of the bars), entry_bar, exit_bar, side (+1, -1), quantity,
    entry_price, exit_price (fills, slippage included), gross_pnl (at prices before slippage), fees, slippage,
    funding, liquidation_cost, net_pnl = gross_pnl - fees - slippage - funding - liquidation_cost,
    return_on_notional = net_pnl / (quantity x entry_price), bars_held, exit_reason (one of `EXIT_REASONS`).
    """
    closed = records(trades, TRADE)
    entry_bar = closed["entry_row"].astype(np.int64) - offset
    exit_bar = closed["exit_row"].astype(np.int64) - offset
    columns = {name: closed[name].copy() for name in (TRADE.names or ())[3:-1]}
    frame = pd.DataFrame(
        {
            "entry_time": pd.to_datetime(timestamp[entry_bar], unit="ms", utc=True),
            "exit_time": pd.to_datetime(timestamp[exit_bar], unit="ms", utc=True),
            "entry_bar": entry_bar,
            "exit_bar": exit_bar,
            "side": closed["side"].astype(np.int64),
            **columns,
        }
    )
    frame["return_on_notional"] = frame["net_pnl"] / (frame["quantity"] * frame["entry_price"])
    frame["bars_held"] = frame["exit_bar"] - frame["entry_bar"]
    frame["exit_reason"] = [EXIT_REASONS[int(code)] for code in closed["reason"]]
    return frame


def fills_frame(fills: Matrix, timestamp: NDArray[np.int64], offset: int) -> pd.DataFrame:
    """One row per execution, in the order in which they happened.

    Columns: time (UTC, open of the bar), bar, side (+1 bought, -1 sold), quantity (base units), price,
    fee (clearance fees of liquidations included), slippage, pnl (realised, at the fill's price), position
    (signed base units afterwards), reason ("open", or one of `EXIT_REASONS`).
    """
    executed = records(fills, FILL)
    bar = executed["row"].astype(np.int64) - offset
    columns = {name: executed[name].copy() for name in (FILL.names or ())[2:-1]}
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(timestamp[bar], unit="ms", utc=True),
            "bar": bar,
            "side": executed["side"].astype(np.int64),
            **columns,
        }
    )
    frame["reason"] = [FILL_REASONS[int(code)] for code in executed["reason"]]
    return frame


def open_trade(account: Account, mark: float) -> Matrix:
    """float64 [0 or 1, fields of `Trade`]: what is open, as if it ended at `mark` without a cost ("end")."""
    row = matrix(1, TRADE)
    if account.quantity == 0.0:
        return row[:0]
    pnl = unrealised_pnl(account.quantity, account.entry, mark)
    trade = records(row, TRADE)[0]
    trade.entry_row, trade.exit_row = account.entry_row, account.row
    trade.side, trade.quantity = np.sign(account.quantity), abs(account.quantity)
    trade.entry_price, trade.exit_price = account.entry, mark
    trade.gross_pnl = pnl + account.position_slippage
    trade.fees, trade.slippage = account.position_fees, account.position_slippage
    trade.funding = account.position_funding
    trade.net_pnl = pnl - account.position_fees - account.position_funding
    trade.reason = EXIT_REASONS.index("end")
    return row
