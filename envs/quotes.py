"""What the account rules see of a bar's market: prices and funding, in the fields of a `Quote`."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract

PRICES = ("open", "high", "low", "close", "mark_open", "mark_high", "mark_low", "mark_close")
"""Fields that a `Quote` and `Bars` share."""


def put_prices(quotes: Any, *prices: Any) -> None:
    """Write the eight prices of bars.

    Args:
        quotes: record array [T] of `Quote`s, or one record; changed in place.
        prices: float64 [T] or one number each, in the order of `PRICES`.
    """
    for name, values in zip(PRICES, prices, strict=True):
        quotes[name] = values


def put_market(quotes: Any, bars: Bars, contract: FuturesContract) -> None:
    """Copy the prices of bars and what settles at their opens.

    Args:
        quotes: record array [T] of `Quote`s; changed in place.
        bars: [T].
        contract: one without funding settles nothing, whatever the bars say.
    """
    put_prices(quotes, *(getattr(bars, name) for name in PRICES))
    rates = bars.funding_rate
    quotes["funding_rate"] = np.where(np.isnan(rates), 0.0, rates) if contract.has_funding else 0.0
