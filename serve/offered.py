"""The bars that a caller offered, as the journal keeps them."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import pandas as pd

from quantum_trader.agents.decision import Decision
from quantum_trader.agents.history import BarLike, each_bar
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.serve.entries import is_closed_bar

_LARGEST = 2**63 - 1


def closed_bar(value: BarLike, decision: Decision) -> Bar | None:
    """The bar, if it is a sound, closed one by the decision on it."""
    return as_bar(value, symbol=decision.symbol) if is_closed_bar(decision) else None


def offered_ms(value: BarLike, *, otherwise: int) -> int:
    """Open of a refused bar, milliseconds since the epoch; `otherwise` where it cannot be read."""
    try:
        moment: Any = value.timestamp if isinstance(value, Bar) else value["timestamp"]
        whole = isinstance(moment, numbers.Real)
        read = int(float(moment)) if whole else pd.Timestamp(moment).value // 1_000_000
    except Exception:  # it was refused because something is wrong with it: nothing is certain
        return otherwise
    return read if 0 <= read <= _LARGEST else otherwise


def sound_bars(past: Bars | pd.DataFrame | BarLike | Iterable[BarLike], symbol: str) -> list[Bar]:
    """Past bars one by one, each checked.

    Raises:
        DataError: a bar is incomplete or contradicts itself.
    """
    return [as_bar(bar, symbol=symbol) for bar in each_bar(past)]
