"""Short pieces of a market for checks that step through it bar by bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from quantum_trader.envs.features import WARMUP_BARS
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW

FIRST_DECISION = WARMUP_BARS + WINDOW - 1
"""Bar of a piece at whose close the first decision may be taken."""


def unbroken(market: Market, bars: int) -> Market | None:
    """The last `bars` bars without an over-long gap between them, built anew; None where there are none."""
    after_break = np.flatnonzero(market.breaks)
    starts = np.concatenate([[0], after_break])
    stops = np.concatenate([after_break, [len(market)]])
    long_enough = np.flatnonzero(stops - starts >= bars)
    if not len(long_enough):
        return None
    stop = int(stops[long_enough[-1]])
    return Market.build(market.bars[stop - bars : stop], market.contract, market.scaler)


def rebuilt(market: Market, changes: dict[str, Any]) -> Market:
    """The market with other columns of bars, everything computed from them anew."""
    return Market.build(replace(market.bars, **changes), market.contract, market.scaler)


def scaled(market: Market, columns: Sequence[str], rows: slice, factor: float) -> Market:
    """The market with the named columns multiplied by `factor` on `rows`.

    High and low are widened where they no longer hold open and close, so that the bars stay possible.
    """
    changed: dict[str, Any] = {name: getattr(market.bars, name).copy() for name in _PRICES}
    for name in columns:
        changed[name][rows] *= factor
        changed[f"mark_{name}"][rows] *= factor
    for prefix in ("", "mark_"):
        inside = [changed[f"{prefix}{name}"] for name in ("open", "close")]
        changed[f"{prefix}high"] = np.maximum.reduce([changed[f"{prefix}high"], *inside])
        changed[f"{prefix}low"] = np.minimum.reduce([changed[f"{prefix}low"], *inside])
    return rebuilt(market, changed)


_PRICES = tuple(f"{prefix}{name}" for prefix in ("", "mark_") for name in ("open", "high", "low", "close"))
