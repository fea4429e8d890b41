"""Bars of a journal as `Bars`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.agents.bar_store import COLUMNS, bars_of, row_of
from quantum_trader.envs.bars import Bar, Bars


def as_series(symbol: str, bars: Sequence[Bar], step_ms: int) -> Bars:
    """`bars` as arrays; their mark price is the last price, as everywhere that none is known.

    Args:
        symbol: whose.
        bars: sound ones, in the order of time.
        step_ms: length of a bar.
    """
    table = np.array([row_of(bar) for bar in bars], dtype=np.float64).reshape(-1, len(COLUMNS))
    return bars_of(table, symbol, step_ms)
