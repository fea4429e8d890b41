"""`Bars`: one symbol's closed OHLCV bars, the only form in which market data travels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Milliseconds = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One closed bar, as a live feed delivers it.

    `timestamp` is the bar's OPEN in milliseconds since the epoch, UTC. `funding_rate` is the rate settled at
    that moment (fraction of notional, a long pays when positive), NaN where none settles.
    """

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    funding_rate: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Bars:
    """`T` closed bars of one symbol and one timeframe, already validated (see `quantum_trader.envs.load`).

    Attributes:
        symbol: the venue's name of the instrument, e.g. "BTCUSDT".
        step_ms: nominal length of a bar in milliseconds.
        timestamp: int64 [T], bar OPEN, milliseconds since the epoch, UTC, strictly increasing.
        open, high, low, close: float64 [T], quote currency per unit of base, all > 0.
        volume: float64 [T], base units, >= 0.
        funding_rate: float64 [T], the rate settled at the bar's open; NaN where no settlement falls on the
            bar; all NaN for an instrument without funding.
        mark_open, mark_high, mark_low, mark_close: float64 [T], the mark price: funding, liquidation and
            unrealised profit go by it. Where no mark is known, high and low are the last price's, and open
            and close are the last price's held within that range.
    """

    symbol: str
    step_ms: int
    timestamp: Milliseconds
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    funding_rate: Floats
    mark_open: Floats
    mark_high: Floats
    mark_low: Floats
    mark_close: Floats

    def __len__(self) -> int:
        return len(self.timestamp)

    def __getitem__(self, rows: slice) -> Bars:
        """A view of the rows `rows`; nothing is copied."""
        arrays = {field.name: getattr(self, field.name)[rows] for field in fields(self)[2:]}
        return Bars(symbol=self.symbol, step_ms=self.step_ms, **arrays)

    def bar(self, index: int) -> Bar:
        """Row `index` as a `Bar`."""
        return Bar(
            timestamp=int(self.timestamp[index]),
            open=float(self.open[index]),
            high=float(self.high[index]),
            low=float(self.low[index]),
            close=float(self.close[index]),
            volume=float(self.volume[index]),
            funding_rate=float(self.funding_rate[index]),
        )

    def first_at_or_after(self, moment: pd.Timestamp) -> int:
        """Index of the first bar that opens at `moment` (UTC) or later; `len(self)` if there is none."""
        return int(np.searchsorted(self.timestamp, epoch_ms(moment), side="left"))

    def steps_since_previous(self) -> Floats:
        """float64 [T]: bar lengths from the previous bar's open to this one's; 1 where no bar is missing."""
        steps = np.ones(len(self))
        steps[1:] = np.diff(self.timestamp) / self.step_ms
        return steps

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over every column: two `Bars` with the same digest hold the same data."""
        sha = hashlib.sha256(f"{self.symbol}|{self.step_ms}".encode())
        for field in fields(self)[2:]:
            sha.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return sha.hexdigest()

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame with a UTC `timestamp` column; `bars_from_frame` turns it back into equal `Bars`."""
        import pandas as pd

        columns = {field.name: getattr(self, field.name) for field in fields(self)[3:]}
        moments = pd.to_datetime(self.timestamp, unit="ms", utc=True)
        return pd.DataFrame({"timestamp": moments, **columns})


def epoch_ms(moment: pd.Timestamp) -> int:
    """Milliseconds since the epoch; a moment without a time zone is taken as UTC."""
    aware = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
    return int(aware.value // 1_000_000)
