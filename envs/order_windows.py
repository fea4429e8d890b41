"""Windows whose label is the ORDER of two past events, of which the newest bar knows nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.windows import WINDOW

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """A task of telling two orders of events apart."""

    windows: int = 30_000
    """Independent windows to draw."""
    spike: float = 3.0
    """Height of both spikes in deviations of the noise around them; higher is easier."""
    nearest: int = 10
    """Bars between the newest bar and the latest place a spike may have."""
    farthest: int = 40
    """Bars between the newest bar and the earliest place a spike may have."""
    seed: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        if self.windows < 1 or not self.spike > 0.0:
            raise ConfigError(
                f"Expected at least one window and a spike above 0, found {self.windows} and {self.spike!r}."
            )
        if not 0 <= self.nearest < self.farthest < WINDOW:
            raise ConfigError(
                f"Expected 0 <= nearest < farthest < {WINDOW}, found {self.nearest} and {self.farthest}."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderWindows:
    """The task.

    Attributes:
        windows: float32 [N, 60, 14], white noise with two spikes in the first feature.
        action: int8 [N], the label: BUY for up then down, SELL for down then up, HOLD for twice the same way.
        bayes: float64 [N, 3], the probabilities that follow from the windows; no model can know better.
    """

    windows: NDArray[np.float32]
    action: NDArray[np.int8]
    bayes: Floats

    @property
    def bayes_accuracy(self) -> float:
        """Share of labels that the most probable class hits: the best that a model can hope for."""
        return float((self.bayes.argmax(axis=1) == self.action).mean())


def order_windows(config: OrderConfig) -> OrderWindows:
    """Draw the task.

    Both spikes lie at different random bars between `nearest` and `farthest` bars ago, and every label is as
    likely as the others. The newest bar, and any other single bar, says nothing about the label.
    """
    random = np.random.default_rng(config.seed)
    count, places = config.windows, config.farthest - config.nearest + 1
    windows = random.standard_normal((count, WINDOW, len(FEATURE_NAMES))).astype(np.float32)
    action = random.integers(0, 3, count).astype(np.int8)
    earlier, gap = random.integers(0, places, count), random.integers(1, places, count)
    other = (earlier + gap) % places
    earlier, later = np.minimum(earlier, other), np.maximum(earlier, other)
    first = np.where(action == Action.HOLD, random.choice([-1.0, 1.0], count), 0.0)
    first += np.where(action == Action.BUY, 1.0, 0.0) - np.where(action == Action.SELL, 1.0, 0.0)
    second = np.where(action == Action.HOLD, first, -first)
    rows, oldest = np.arange(count), WINDOW - 1 - config.farthest
    windows[rows, oldest + earlier, 0] += (config.spike * first).astype(np.float32)
    windows[rows, oldest + later, 0] += (config.spike * second).astype(np.float32)
    seen = windows[:, oldest : oldest + places, 0].astype(np.float64)
    return OrderWindows(windows=windows, action=action, bayes=_bayes(seen, config.spike))


def _bayes(seen: Floats, spike: float) -> Floats:
    """Posterior of the labels, float64 [N, 3], from the bars that may hold a spike, float64 [N, places].

    A spike of s at a bar with value x is exp(s x - s^2 / 2) times as likely as none, so that a label's
    likelihood is the sum over all pairs of bars of the products of two such factors; s^2 cancels out.
    """
    # Whatever is taken off both exponents cancels out too, and keeps the products finite.
    most = spike * np.abs(seen).max(axis=1, keepdims=True)
    up, down = np.exp(spike * seen - most), np.exp(-spike * seen - most)
    likelihood = np.empty((len(seen), 3))
    likelihood[:, Action.HOLD] = 0.5 * (_pairs(up, up) + _pairs(down, down))
    likelihood[:, Action.BUY] = _pairs(up, down)
    likelihood[:, Action.SELL] = _pairs(down, up)
    posterior: Floats = likelihood / likelihood.sum(axis=1, keepdims=True)
    return posterior


def _pairs(first: Floats, second: Floats) -> Floats:
    """float64 [N]: sum over all i < j of first[i] second[j]."""
    total: Floats = (np.cumsum(first, axis=1)[:, :-1] * second[:, 1:]).sum(axis=1)
    return total
