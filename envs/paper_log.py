"""What a paper account did, as records that name their bars by time, and as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.layout import FILL, TRADE
from quantum_trader.envs.records import fills_frame, trades_frame

TRADE_FIELDS: tuple[str, ...] = TRADE.names or ()
FILL_FIELDS: tuple[str, ...] = FILL.names or ()


@dataclass(frozen=True, kw_only=True)
class PaperTrade:
    """One closed trade, or the closed part of one."""

    entry_ms: int
    """Open of the bar it was opened in, milliseconds since the epoch, UTC."""
    exit_ms: int
    """Open of the bar it was closed in."""
    values: tuple[float, ...]
    """In the order of `quantum_trader.envs.layout.Trade`; rows count the bars the account has taken in."""

    @property
    def net_pnl(self) -> float:
        """Profit after all costs, quote currency."""
        return self.values[TRADE_FIELDS.index("net_pnl")]


@dataclass(frozen=True, kw_only=True)
class PaperFill:
    """One execution."""

    bar_ms: int
    """Open of the bar it happened in, milliseconds since the epoch, UTC."""
    values: tuple[float, ...]
    """In the order of `quantum_trader.envs.layout.Fill`; the row counts the bars the account has taken in."""


@dataclass(frozen=True, kw_only=True)
class PaperLog:
    """Trades and fills, each in the order in which they happened."""

    trades: tuple[PaperTrade, ...] = ()
    fills: tuple[PaperFill, ...] = ()


def paper_trades_frame(trades: Sequence[PaperTrade]) -> pd.DataFrame:
    """One row per closed trade, columns as `quantum_trader.envs.records.trades_frame`.

    entry_bar and exit_bar count the bars that the account has taken in, its history included, from 0.
    """
    rows = _rows([trade.values for trade in trades], len(TRADE_FIELDS))
    bars = rows[:, :2].astype(np.int64)
    moments = [moment for trade in trades for moment in (trade.entry_ms, trade.exit_ms)]
    numbered = rows.copy()
    numbered[:, :2] = np.arange(2 * len(trades)).reshape(-1, 2)
    frame = trades_frame(numbered, np.array(moments, dtype=np.int64), 0)
    frame["entry_bar"], frame["exit_bar"] = bars[:, 0], bars[:, 1]
    frame["bars_held"] = frame["exit_bar"] - frame["entry_bar"]
    return frame


def paper_fills_frame(fills: Sequence[PaperFill]) -> pd.DataFrame:
    """One row per execution, columns as `quantum_trader.envs.records.fills_frame`; bars as for trades."""
    rows = _rows([fill.values for fill in fills], len(FILL_FIELDS))
    bars = rows[:, 0].astype(np.int64)
    numbered = rows.copy()
    numbered[:, 0] = np.arange(len(fills))
    frame = fills_frame(numbered, np.array([fill.bar_ms for fill in fills], dtype=np.int64), 0)
    frame["bar"] = bars
    return frame


def _rows(values: Sequence[tuple[float, ...]], width: int) -> NDArray[np.float64]:
    if not values:
        return np.zeros((0, width))
    return np.array(values, dtype=np.float64).reshape(len(values), width)
