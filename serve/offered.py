"""The bars that a caller offered, as the journal keeps them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from quantum_trader.agents.decision import Decision
from quantum_trader.agents.history import BarLike, in_order
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.live_bar import as_bar, opened_ms
from quantum_trader.serve.entries import is_closed_bar

_LARGEST = 2**63 - 1


def closed_bar(value: BarLike, decision: Decision) -> Bar | None:
    """The bar, if it is a sound, closed one by the decision on it."""
    return as_bar(value, symbol=decision.symbol) if is_closed_bar(decision) else None


def offered_ms(value: BarLike, *, otherwise: int) -> int:
    """Open of a refused bar, milliseconds since the epoch; `otherwise` where it cannot be read."""
    try:
        read = opened_ms(value)
    except Exception:  # it was refused because something is wrong with it: nothing is certain
        return otherwise
    return read if 0 <= read <= _LARGEST else otherwise


def sound_bars(past: Bars | pd.DataFrame | BarLike | Iterable[BarLike], symbol: str) -> list[Bar]:
    """Past bars one by one, each checked.

    Raises:
        DataError: a bar is incomplete or contradicts itself, or bars are not in order.
    """
    sound, fault = in_order(symbol, past)
    if fault is not None:
        raise fault
    return sound
