"""`NetworkConfig`: inputs and outputs that all networks share. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantum_trader.envs.context import CALENDAR_SIZE, HORIZONS, STATIC_SIZE
from quantum_trader.envs.errors import ConfigError

Preset = Literal["paper", "small", "tiny"]
"""Sizes that every network comes in: 2.6 M weights, 0.65 M, and some 10 to 30 thousand for tests."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Inputs and outputs of a network over windows."""

    dropout: float = 0.1
    """Share of units switched off in training; raise it when only training loss falls."""
    window: int = 60
    """Bars in a window."""
    window_bars: int = 60
    """Newest bars of a window that the network looks at; fewer are faster, and all it knows of the past."""
    features: int = 14
    """Features of a bar."""
    static: int = STATIC_SIZE
    """Static numbers at the head of the context vector."""
    calendar: int = CALENDAR_SIZE
    """Calendar numbers of each horizon, behind the static ones in the context vector."""
    horizons: tuple[int, ...] = HORIZONS
    """Bars ahead for which return quantiles are predicted."""
    decision_horizon: int = 6
    """The horizon whose output BUY, SELL or HOLD is read from: the one nearest the label's."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Levels of the predicted quantiles, ascending, an odd number of them around the median."""

    def __post_init__(self) -> None:
        self.require_at_least_one("window", "window_bars", "features", "static", "calendar")
        self.require(0.0 <= self.dropout < 1.0, f"dropout must lie in [0, 1), found {self.dropout}")
        self.require(
            self.decision_horizon in self.horizons,
            f"decision_horizon must be one of the horizons {self.horizons}, found {self.decision_horizon}",
        )
        ascending = all(a < b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
        middle = self.quantiles[len(self.quantiles) // 2] if self.quantiles else 0.0
        self.require(
            ascending and len(self.quantiles) % 2 == 1 and middle == 0.5,
            f"quantiles must ascend with 0.5 in their middle, found {self.quantiles}",
        )

    @property
    def context_size(self) -> int:
        """Length of the context vector: static numbers, then the calendar of every horizon."""
        return self.static + len(self.horizons) * self.calendar

    @property
    def bars_seen(self) -> int:
        """Newest bars of a window that the network looks at: `window_bars`, or all where there are fewer."""
        return min(self.window, self.window_bars)

    @property
    def decision(self) -> int:
        """Position of `decision_horizon` among the horizons."""
        return self.horizons.index(self.decision_horizon)

    def require(self, condition: bool, message: str) -> None:
        """Refuse the config with a `ConfigError` that names its class unless `condition` holds."""
        if not condition:
            raise ConfigError(f"{type(self).__name__}: {message}.")

    def require_at_least_one(self, *names: str) -> None:
        """Refuse sizes below 1."""
        for name in names:
            self.require(getattr(self, name) >= 1, f"{name} must be at least 1, found {getattr(self, name)}")


def unknown_preset(network: str, name: str) -> ConfigError:
    """The error for a size that no network has."""
    return ConfigError(f"Unknown {network} preset {name!r}; known are paper, small, tiny.")
