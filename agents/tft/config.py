"""`TFTConfig`: the shape of the network. Imports no torch, so that settings can be read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantum_trader.envs.context import CALENDAR_SIZE, HORIZONS, STATIC_SIZE
from quantum_trader.envs.errors import ConfigError

Preset = Literal["paper", "small", "tiny"]


@dataclass(frozen=True, kw_only=True)
class TFTConfig:
    """Shape of the Temporal Fusion Transformer (Lim et al. 2021). By default 2.56 million weights."""

    hidden: int = 128
    """Width of every layer; halving it is about three times faster and learns nearly as well on few rows."""
    heads: int = 8
    """Attention heads; must divide `hidden`."""
    lstm_layers: int = 3
    """Layers of the LSTM over the window; each costs about as much as all variable selection together."""
    lstm_hidden: int = 128
    """Units of the LSTM per direction."""
    bidirectional: bool = True
    """Read the window in both directions; it is all in the past, so nothing leaks."""
    dropout: float = 0.1
    """Share of units switched off in training; raise it when only training loss falls."""
    window: int = 60
    """Bars in a window."""
    features: int = 14
    """Features of a bar."""
    static: int = STATIC_SIZE
    """Static numbers at the head of the context vector."""
    calendar: int = CALENDAR_SIZE
    """Calendar numbers of each horizon, behind the static ones in the context vector."""
    horizons: tuple[int, ...] = HORIZONS
    """Bars ahead for which return quantiles are predicted."""
    decision_horizon: int = 6
    """The horizon whose decoder position BUY, SELL or HOLD is read from: the one nearest the label's."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Levels of the predicted quantiles, ascending, an odd number of them around the median."""

    def __post_init__(self) -> None:
        sizes = ("hidden", "heads", "lstm_layers", "lstm_hidden", "window", "features", "static", "calendar")
        for name in sizes:
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, found {getattr(self, name)}")
        _require(
            self.hidden % self.heads == 0, f"heads must divide hidden {self.hidden}, found {self.heads} heads"
        )
        _require(0.0 <= self.dropout < 1.0, f"dropout must lie in [0, 1), found {self.dropout}")
        _require(
            self.decision_horizon in self.horizons,
            f"decision_horizon must be one of the horizons {self.horizons}, found {self.decision_horizon}",
        )
        ascending = all(a < b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
        middle = self.quantiles[len(self.quantiles) // 2] if self.quantiles else 0.0
        _require(
            ascending and len(self.quantiles) % 2 == 1 and middle == 0.5,
            f"quantiles must ascend with 0.5 in their middle, found {self.quantiles}",
        )

    @property
    def context_size(self) -> int:
        """Length of the context vector: static numbers, then the calendar of every horizon."""
        return self.static + len(self.horizons) * self.calendar

    @property
    def decision(self) -> int:
        """Position of `decision_horizon` among the horizons."""
        return self.horizons.index(self.decision_horizon)


def tft_preset(name: Preset) -> TFTConfig:
    """A named shape: "paper" 2.56 M parameters, "small" 0.65 M, "tiny" 0.03 M (tests and demonstrations)."""
    if name == "paper":
        return TFTConfig()
    if name == "small":
        return TFTConfig(hidden=64, lstm_hidden=64)
    if name == "tiny":
        return TFTConfig(hidden=16, lstm_hidden=16, lstm_layers=1, heads=2, dropout=0.0)
    raise ConfigError(f"Unknown TFT preset {name!r}; known are paper, small, tiny.")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(f"TFTConfig: {message}.")
