"""`BarStore`: the last bars of one symbol, in one growing array."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.live_bar import LARGEST_FUNDING, LARGEST_PRICE, LARGEST_VOLUME, LAST_MS

Floats = NDArray[np.float64]

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume", "funding_rate")
row_of = attrgetter(*COLUMNS)
"""A `Bar`'s numbers in the order of `COLUMNS`."""
_FIRST_ROOM = 64


class BarStore:
    """Bars in order of time, 56 bytes each; milliseconds are exact in float64 up to the year 287,000."""

    def __init__(self) -> None:
        self._room: Floats = np.empty((_FIRST_ROOM, len(COLUMNS)))
        self._count = 0

    @classmethod
    def of(cls, bars: Bars) -> BarStore:
        """A store of `bars`."""
        store = cls()
        store._room = table_of(bars)
        store._count = len(bars)
        return store

    def __len__(self) -> int:
        return self._count

    @property
    def table(self) -> Floats:
        """float64 [T, 7] in the order of `COLUMNS`; a view."""
        return self._room[: self._count]

    def append(self, bar: Bar) -> None:
        """Add the newest bar."""
        if self._count == len(self._room):
            grown = np.empty((2 * max(self._count, _FIRST_ROOM // 2), len(COLUMNS)))
            grown[: self._count] = self._room
            self._room = grown
        self._room[self._count] = row_of(bar)
        self._count += 1

    def keep_last(self, count: int) -> None:
        """Forget all but the last `count` bars."""
        kept = self.table[-count:].copy()
        self._room[: len(kept)] = kept
        self._count = len(kept)

    def bars(self, symbol: str, step_ms: int) -> Bars:
        """The stored bars; the mark price is the last price."""
        return bars_of(self.table.copy(), symbol, step_ms)


def table_of(bars: Bars) -> Floats:
    """float64 [T, 7] in the order of `COLUMNS`; a copy."""
    return np.stack([np.asarray(getattr(bars, name), np.float64) for name in COLUMNS], axis=1)


def bars_of(table: Floats, symbol: str, step_ms: int) -> Bars:
    """float64 [T, 7] in the order of `COLUMNS` as `Bars`, without checks."""
    columns = {name: np.ascontiguousarray(table[:, at]) for at, name in enumerate(COLUMNS)}
    timestamp = columns.pop("timestamp").astype(np.int64)
    marks = {f"mark_{name}": columns[name] for name in ("open", "high", "low", "close")}
    return Bars(symbol=symbol, step_ms=step_ms, timestamp=timestamp, **columns, **marks)


def fault_in(table: Floats) -> str:
    """What is wrong with float64 [T, 7] in the order of `COLUMNS`, in words; empty where nothing is.

    The rules are those of `quantum_trader.envs.live_bar.as_bar`, and times must ascend.
    """
    moments, open_, high, low, close, volume, funding = table.T
    # Comparisons with NaN are false, so these also refuse NaN.
    if not np.all((moments >= 0) & (moments < LAST_MS) & (np.floor(moments) == moments)):
        return "a timestamp that is no whole number of milliseconds between 1970 and 2200"
    if not np.all(moments[1:] > moments[:-1]):
        return "timestamps that do not ascend"
    if not np.all((low <= open_) & (low <= close) & (high >= open_) & (high >= close)):
        return "prices that contradict each other"
    if not np.all((low >= 1 / LARGEST_PRICE) & (high <= LARGEST_PRICE)):
        return f"a price beyond {1 / LARGEST_PRICE:g} to {LARGEST_PRICE:g}"
    if not np.all((volume >= 0) & (volume <= LARGEST_VOLUME)):
        return f"a volume that is not a number from 0 to {LARGEST_VOLUME:g}"
    return "a funding rate beyond the whole position" if np.any(np.abs(funding) > LARGEST_FUNDING) else ""
