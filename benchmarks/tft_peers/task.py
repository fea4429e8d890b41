"""The task that every network gets: the same series and the same size."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


class Stretch(NamedTuple):
    """`B` stretches of a window and the bars to forecast behind it, oldest bar first."""

    features: Floats32
    """[B, W + H, F], observed: nothing behind the window may be used."""
    known: Floats32
    """[B, W + H, K], known ahead."""
    static: Floats32
    """[B, S], of the window's last bar."""
    target: Floats32
    """[B, W + H], to forecast behind the window."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Series of `T` bars, none of it missing, and the size of a network for them."""

    features: Floats32
    """float32 [T, F]: scaled, observed in the past only."""
    known: Floats32
    """float32 [T, K]: calendar, known ahead."""
    static: Floats32
    """float32 [T, S]: what a window has once only."""
    target: Floats32
    """float32 [T]: to forecast."""
    quantiles: NDArray[np.float64]
    """Levels to forecast."""
    window: int = 60
    """Bars in a window."""
    horizons: int = 4
    """Bars forecast."""
    hidden: int = 128
    heads: int = 8
    lstm_layers: int = 3
    """Layers of each LSTM, which peers have in one direction only."""
    dropout: float = 0.1
    batch: int = 128
    """Windows in a training step."""
    threads: int = 1
    keep_memory: bool = False
    """Whether freed memory is kept for the process, as this project's training does."""

    def stretch(self, size: int, seed: int = 0) -> Stretch:
        """Stretches from random places, the same for the same seed."""
        length = self.window + self.horizons
        first = np.random.default_rng(seed).integers(0, len(self.features) - length + 1, size)
        rows = first[:, None] + np.arange(length)
        return Stretch(
            features=self.features[rows],
            known=self.known[rows],
            static=self.static[first + self.window - 1],
            target=self.target[rows],
        )

    def save(self, path: Path) -> None:
        """Write everything as one .npz file."""
        np.savez(path, allow_pickle=False, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Task:
        """What `save` wrote."""
        with np.load(path) as file:
            fields: dict[str, Any] = {name: file[name] for name in file.files}
        return cls(**{name: array if array.ndim else array.item() for name, array in fields.items()})
