"""The task that every environment gets: the same bars, features, window, leverage and fee."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Hourly bars with features, and the terms of trading them."""

    timestamp: NDArray[np.int64]
    """Opening times, int64 [T], milliseconds since 1970 UTC, one hour apart."""
    open: Floats
    """Prices in quote currency, float64 [T], as are high, low and close."""
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    """Base units, float64 [T]."""
    features: NDArray[np.float32]
    """What the windows are cut from, float32 [T, F]."""
    window: int = 60
    """Bars in an observation."""
    episode_bars: int = 500
    """Steps in an episode, where a peer lets one choose."""
    leverage: float = 5.0
    """Notional of a full position as a multiple of equity, where a peer has leverage."""
    fee: float = 0.0005
    """Share of the traded notional, where a peer has fees."""

    def save(self, path: Path) -> None:
        """Write everything as one .npz file."""
        np.savez(path, allow_pickle=False, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Task:
        """What `save` wrote."""
        with np.load(path) as file:
            fields: dict[str, Any] = {name: file[name] for name in file.files}
        return cls(**{name: array if array.ndim else array.item() for name, array in fields.items()})

    def prices(self) -> dict[str, Floats]:
        """Columns open, high, low and close."""
        return {"open": self.open, "high": self.high, "low": self.low, "close": self.close}
