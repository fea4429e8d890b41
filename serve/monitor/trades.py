"""Closed trades that do not overlap: the only ones that may be counted as separate evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.serve.monitor.table import Floats, Integers, Small, Table, side


@dataclass(frozen=True, kw_only=True)
class Trades:
    """`M` closed trades, ordered by the bar they were decided on.

    Attributes:
        bar_ms: int64 [M], open of that bar.
        net, gross: float64 [M], return after and before costs, fraction of notional.
    """

    bar_ms: Integers
    net: Floats
    gross: Floats

    def __len__(self) -> int:
        return len(self.bar_ms)


def closed_trades(table: Table, actions: Small) -> Trades:
    """The trades of a decider who holds one position a symbol and opens the next when it is closed.

    A signal counts if no counted trade of its symbol is open: greedy in time. A trade is closed by the end of
    the bar of its `exit_ms`, which is when the decision on that very bar is taken. Signals whose outcome is
    not known are passed over.

    Args:
        table: N decisions, oldest bar first.
        actions: int8 [N], values of `Action`: whose trades.
    """
    signals = np.flatnonzero((actions != Action.HOLD) & table.resolved)
    signals = signals[np.argsort(table.symbol.codes[signals], kind="stable")]
    column = side(actions[signals])
    chosen = _apart(table.symbol.codes[signals], table.bar_ms[signals], table.exit_ms[signals, column])
    order = np.argsort(signals[chosen])
    rows, columns = signals[chosen][order], column[chosen][order]
    return Trades(bar_ms=table.bar_ms[rows], net=table.net[rows, columns], gross=table.gross[rows, columns])


def _apart(symbols: Integers, starts: Integers, exits: Integers) -> Integers:
    """Positions of the trades that are taken; symbols int64 [n] ascend, and within each its starts.

    All symbols stand on one axis of time, one behind the other, so that "the next signal from the exit on" is
    the first signal of the next symbol where its own has none.
    """
    if not len(starts):
        return np.zeros(0, dtype=np.int64)
    first = int(starts.min())
    span = int(max(exits.max(), starts.max())) - first + 1
    line = symbols * span + (starts - first)
    following = np.searchsorted(line, symbols * span + (exits - first))
    following = np.maximum(following, np.arange(1, len(line) + 1)).tolist()
    taken, place = [], 0
    while place < len(following):
        taken.append(place)
        place = following[place]
    return np.array(taken, dtype=np.int64)
