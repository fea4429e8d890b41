"""Bars of a journal as `Bars`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.envs.bars import Bar, Bars

_COLUMNS = ("open", "high", "low", "close", "volume", "funding_rate")


def as_series(symbol: str, bars: Sequence[Bar], step_ms: int) -> Bars:
    """`bars` as arrays; their mark price is the last price, as everywhere that none is known.

    Args:
        symbol: whose.
        bars: sound ones, in the order of time.
        step_ms: length of a bar.
    """
    columns = {name: np.array([getattr(bar, name) for bar in bars], dtype=np.float64) for name in _COLUMNS}
    marks = {f"mark_{name}": columns[name] for name in ("open", "high", "low", "close")}
    moments = np.array([bar.timestamp for bar in bars], dtype=np.int64)
    return Bars(symbol=symbol, step_ms=step_ms, timestamp=moments, **columns, **marks)
