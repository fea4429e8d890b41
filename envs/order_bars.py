"""A market that jumps the way the ORDER of two past bars points, of which the newest bar knows nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.synthetic import HOUR_MS, PlantedMarket, bars_of_returns
from quantum_trader.envs.windows import WINDOW

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class OrderBarsConfig:
    """A random walk with cue bars, each followed by a jump whose side two earlier bars foretell.

    A cue bar shows by its volume alone that a jump follows. Before it, between `nearest` and `farthest` bars
    ago, lie one bar with a long upper wick and one with a long lower wick, both at a multiple of the usual
    volume. Lower after upper foretells a rise, upper after lower a fall. Closes are a random walk apart from
    the jumps, and wicks have one length, so that averages of prices, ranges and volumes say nothing of the
    order; neither does how high a bar closes within its range, unless one looks at the right two bars. The
    default places lie between the lags that `quantum_trader.agents.tabular` takes.
    """

    bars: int = 20_000
    """Number of bars."""
    seed: int = 0
    """Same seed, same bars."""
    accuracy: float = 0.95
    """Chance that the jump goes the way the order says: 0.5 is no edge, 1 a certainty."""
    nearest: int = 6
    """Bars between a cue bar and the latest place of a wick."""
    farthest: int = 10
    """Bars between a cue bar and the earliest place of a wick; more makes cues rarer and memory longer."""
    cue_probability: float = 0.5
    """Chance of a cue at each bar that may have one; raising it makes opportunities more frequent."""
    jump: float = 4.0
    """Size of the jump in units of `volatility`; it should exceed costs and the bar's noise clearly."""
    wick: float = 2.0
    """Length of the wicks in units of `volatility`."""
    wick_volume: float = 4.0
    """Volume of the bars with wicks as a multiple of the usual."""
    cue_volume: float = 12.0
    """Volume of a cue bar as a multiple of the usual."""
    volatility: float = 0.003
    """Deviation of a bar's noise, log return."""
    symbol: str = "ORDER"
    """Name of the instrument."""
    start_price: float = 100.0
    """First open."""
    step_ms: int = HOUR_MS
    """Length of a bar in milliseconds."""

    def __post_init__(self) -> None:
        if self.bars < 1:
            raise ConfigError(f"bars must be at least 1, found {self.bars!r}.")
        if not 0 <= self.accuracy <= 1:
            raise ConfigError(f"accuracy must lie in [0, 1], found {self.accuracy!r}.")
        if not 0 < self.cue_probability <= 1:
            raise ConfigError(f"cue_probability must lie in (0, 1], found {self.cue_probability!r}.")
        if not 1 <= self.nearest < self.farthest < WINDOW:
            raise ConfigError(
                f"Expected 1 <= nearest < farthest < {WINDOW}, found {self.nearest} and {self.farthest}."
            )

    @property
    def bayes_accuracy(self) -> float:
        """Chance that the bar after a cue closes on the side that the order foretells."""
        survives = NormalDist().cdf(self.jump)
        return self.accuracy * survives + (1.0 - self.accuracy) * (1.0 - survives)


def order_bars(config: OrderBarsConfig) -> PlantedMarket:
    """The market; its `cue` holds the side that the order foretells at each cue bar."""
    rng = np.random.default_rng(config.seed)
    returns = config.volatility * rng.standard_normal(config.bars)
    rows = _cue_rows(config, rng)
    first, second = _places(config, rng, len(rows))
    side = rng.choice([-1, 1], len(rows))
    as_foretold = np.where(rng.random(len(rows)) < config.accuracy, side, -side)
    returns[rows + 1] += config.jump * config.volatility * as_foretold
    volume = 1_000.0 * np.exp(0.2 * rng.standard_normal(config.bars))
    volume[rows] *= config.cue_volume
    volume[np.concatenate([rows - first, rows - second])] *= config.wick_volume
    deviation = np.full(config.bars, config.volatility)
    bars = bars_of_returns(config, returns, deviation, volume, rng)
    upper = np.where(side > 0, rows - first, rows - second)
    lower = np.where(side > 0, rows - second, rows - first)
    cue = np.zeros(config.bars, dtype=np.int8)
    cue[rows] = side
    return PlantedMarket(
        bars=_with_wicks(bars, upper, lower, config.wick * config.volatility),
        cue=cue,
        bayes_accuracy=config.bayes_accuracy,
    )


def _cue_rows(config: OrderBarsConfig, rng: np.random.Generator) -> Rows:
    """int64 [K]: cue bars, each with room for its wicks after the jump before and for a jump of its own."""
    waits = config.farthest + 1 + rng.geometric(config.cue_probability, config.bars // config.farthest + 1)
    rows = np.cumsum(waits)
    return rows[rows + 1 < config.bars]


def _places(config: OrderBarsConfig, rng: np.random.Generator, count: int) -> tuple[Rows, Rows]:
    """Two int64 [K]: bars between each cue and its earlier and its later wick; all pairs equally likely."""
    places = config.farthest - config.nearest + 1
    one = rng.integers(0, places, count)
    other = (one + rng.integers(1, places, count)) % places
    return config.nearest + np.maximum(one, other), config.nearest + np.minimum(one, other)


def _with_wicks(bars: Bars, upper: Rows, lower: Rows, length: float) -> Bars:
    """The bars with a wick of `length` (log) on one side of the bodies at `upper` and `lower`, none on the
    other: a bar of each kind has the same range."""
    top, bottom = np.maximum(bars.open, bars.close), np.minimum(bars.open, bars.close)
    high, low = bars.high.copy(), bars.low.copy()
    high[upper], low[upper] = top[upper] * math.exp(length), bottom[upper]
    high[lower], low[lower] = top[lower], bottom[lower] * math.exp(-length)
    return replace(bars, high=high, low=low, mark_high=high, mark_low=low)
