"""Made-up markets: a lifelike one without an edge, a random walk, and one with a planted, known edge."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.errors import ConfigError

HOUR_MS = 3_600_000
_EIGHT_HOURS_MS = 8 * HOUR_MS
_DAY_MS = 24 * HOUR_MS
# 2020-01-01 00:00 UTC, a Wednesday.
_START_MS = 1_577_836_800_000
_PATH_STEPS = 12


class SeriesConfig(Protocol):
    """What every made-up series is told of its name, start and step."""

    @property
    def symbol(self) -> str:
        """Name of the instrument."""
        ...

    @property
    def start_price(self) -> float:
        """First open."""
        ...

    @property
    def step_ms(self) -> int:
        """Length of a bar in milliseconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """A market with volatility regimes and clusters, jumps and funding, whose direction is a coin flip."""

    bars: int = 5_000
    """Number of bars."""
    seed: int = 0
    """Same seed, same bars."""
    symbol: str = "SYNTHETIC"
    """Name of the instrument."""
    step_ms: int = HOUR_MS
    """Length of a bar in milliseconds."""
    start_price: float = 100.0
    """First open."""
    volatility: float = 0.005
    """Typical deviation of a bar's log return; raising it makes every move larger."""
    regime_volatility: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Volatility of each regime as a multiple of `volatility`."""
    regime_bars: float = 500.0
    """Mean length of a regime; lowering it makes volatility change more often."""
    clustering: float = 0.97
    """Persistence of log volatility from bar to bar, in [0, 1); 0 makes bars independent."""
    volatility_of_volatility: float = 0.1
    """Deviation of each innovation of log volatility; 0 leaves only the regimes."""
    jump_probability: float = 0.002
    """Chance of a jump in a bar."""
    jump_size: float = 4.0
    """Deviation of a jump, in deviations of the bar."""
    funding: bool = True
    """Whether a funding rate settles every 8 hours; it follows past returns and foretells nothing."""

    def __post_init__(self) -> None:
        _require(self.bars >= 1, "bars must be at least 1", self.bars)
        _require(self.volatility > 0, "volatility must be above 0", self.volatility)
        _require(0 <= self.clustering < 1, "clustering must lie in [0, 1)", self.clustering)
        _require(self.regime_bars >= 1, "regime_bars must be at least 1", self.regime_bars)


@dataclass(frozen=True, kw_only=True)
class PlantedConfig:
    """A random walk with cue bars after which the price drifts the way the cue points, most of the time."""

    bars: int = 5_000
    """Number of bars."""
    seed: int = 0
    """Same seed, same bars."""
    accuracy: float = 0.85
    """Chance that the drift goes the cue's way: 0.5 is no edge, 1 a certainty."""
    hold: int = 6
    """Bars the drift lasts; no two cues stand closer than this."""
    cue_probability: float = 0.1
    """Chance of a cue at each bar that may have one; raising it makes opportunities more frequent."""
    drift: float = 1.0
    """Drift per bar in units of `volatility`; over `hold` bars it should exceed the noise clearly."""
    volume_factor: float = 6.0
    """Volume of a cue bar as a multiple of the usual."""
    volatility: float = 0.003
    """Deviation of a bar's noise, log return."""
    symbol: str = "PLANTED"
    """Name of the instrument."""
    start_price: float = 100.0
    """First open."""
    step_ms: int = HOUR_MS
    """Length of a bar in milliseconds."""

    def __post_init__(self) -> None:
        _require(self.bars >= 1, "bars must be at least 1", self.bars)
        _require(self.hold >= 1, "hold must be at least 1", self.hold)
        _require(0 <= self.accuracy <= 1, "accuracy must lie in [0, 1]", self.accuracy)
        _require(0 < self.cue_probability <= 1, "cue_probability must lie in (0, 1]", self.cue_probability)

    @property
    def bayes_accuracy(self) -> float:
        """Chance that the price stands on the cue's side `hold` bars after the cue's close."""
        # The noise of `hold` bars overturns the drift with a small, known probability.
        survives = NormalDist().cdf(self.drift * math.sqrt(self.hold))
        return self.accuracy * survives + (1.0 - self.accuracy) * (1.0 - survives)


@dataclass(frozen=True, kw_only=True)
class PlantedMarket:
    """Bars with a planted edge, and the truth about it.

    Attributes:
        bars: the bars.
        cue: int8 [T], +1 or -1 on cue bars (known at their close), 0 elsewhere.
        bayes_accuracy: chance that the price stands on the cue's side when the move that the cue foretells is
            over: no forecaster of that direction can do better on average.
    """

    bars: Bars
    cue: NDArray[np.int8]
    bayes_accuracy: float


def synthetic_bars(config: SyntheticConfig) -> Bars:
    """Bars with regimes, stochastic volatility, jumps and funding; past bars say nothing about direction."""
    rng = np.random.default_rng(config.seed)
    deviation = _volatility_path(config, rng)
    shocks = rng.standard_normal(config.bars)
    jumps = rng.random(config.bars) < config.jump_probability
    shocks += jumps * config.jump_size * rng.standard_normal(config.bars)
    activity = deviation / config.volatility * np.exp(0.4 * rng.standard_normal(config.bars))
    bars = bars_of_returns(config, deviation * shocks, deviation, 1_000.0 * activity, rng)
    return replace(bars, funding_rate=_funding(bars, config.volatility)) if config.funding else bars


def random_walk_bars(n: int, seed: int, *, volatility: float = 0.005, symbol: str = "WALK") -> Bars:
    """`n` hourly bars of a driftless random walk: log returns are independent and identically distributed."""
    config = SyntheticConfig(bars=n, seed=seed, volatility=volatility, symbol=symbol)
    rng = np.random.default_rng(seed)
    deviation = np.full(n, volatility)
    volume = 1_000.0 * np.exp(0.4 * rng.standard_normal(n))
    return bars_of_returns(config, deviation * rng.standard_normal(n), deviation, volume, rng)


def planted_bars(config: PlantedConfig) -> PlantedMarket:
    """A random walk with an edge of known size; see `PlantedConfig`.

    A cue bar is told by its volume and by closing at its high (+1) or low (-1). Its own return is a coin flip
    of the usual size, so it says no more than which of the two.
    """
    rng = np.random.default_rng(config.seed)
    noise = config.volatility * rng.standard_normal(config.bars)
    cue = np.where(_cue_rows(config, rng), np.sign(noise), 0.0).astype(np.int8)
    drift = _drift(config, cue, rng.random(config.bars) < config.accuracy)
    volume = 1_000.0 * np.exp(0.2 * rng.standard_normal(config.bars))
    volume[cue != 0] *= config.volume_factor
    bars = bars_of_returns(config, noise + drift, np.full(config.bars, config.volatility), volume, rng)
    high = np.where(cue > 0, bars.close, bars.high)
    low = np.where(cue < 0, bars.close, bars.low)
    bars = replace(bars, high=high, low=low, mark_high=high, mark_low=low)
    return PlantedMarket(bars=bars, cue=cue, bayes_accuracy=config.bayes_accuracy)


def _require(condition: bool, rule: str, found: float) -> None:
    if not condition:
        raise ConfigError(f"{rule}, found {found!r}.")


def _cue_rows(config: PlantedConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """bool [T]: cue bars, more than `hold` bars apart so that no drift reaches the next."""
    waits = config.hold + rng.geometric(config.cue_probability, size=config.bars // (config.hold + 1) + 1)
    rows = np.cumsum(waits)
    cues = np.zeros(config.bars, dtype=np.bool_)
    cues[rows[rows < config.bars]] = True
    return cues


def _drift(config: PlantedConfig, cue: NDArray[np.int8], as_cued: NDArray[np.bool_]) -> Floats:
    """float64 [T]: what the cue before adds to each log return."""
    push = np.where(as_cued, cue, -cue) * (config.drift * config.volatility)
    drift = np.zeros(len(cue))
    for lag in range(1, config.hold + 1):
        drift[lag:] += push[:-lag]
    return drift


def _volatility_path(config: SyntheticConfig, rng: np.random.Generator) -> Floats:
    """float64 [T]: deviation of each bar, regime times a log-normal autoregression."""
    switches = np.cumsum(rng.random(config.bars) < 1.0 / config.regime_bars)
    levels = np.asarray(config.regime_volatility)
    level = levels[rng.integers(len(levels), size=config.bars + 1)[switches]]
    shocks = config.volatility_of_volatility * rng.standard_normal(config.bars)
    wander = accumulate(shocks.tolist(), lambda state, shock: config.clustering * state + shock)
    return np.asarray(config.volatility * level * np.exp(np.fromiter(wander, dtype=np.float64)))


def _funding(bars: Bars, volatility: float) -> Floats:
    """float64 [T]: every 8 hours 0.01 %, more after a day that rose, less after one that fell."""
    day = max(_DAY_MS // bars.step_ms, 1)
    before = np.log(bars.open / bars.open[np.maximum(np.arange(len(bars)) - day, 0)])
    rate = np.clip(1e-4 + 1e-4 * before / (volatility * math.sqrt(day)), -0.005, 0.005)
    return np.where(bars.timestamp % _EIGHT_HOURS_MS == 0, rate, np.nan)


def bars_of_returns(
    config: SeriesConfig,
    returns: Floats,
    deviation: Floats,
    volume: Floats,
    rng: np.random.Generator,
) -> Bars:
    """Bars whose high and low come from a random path inside each bar that ends at its return.

    Args:
        config: names, start and step.
        returns: float64 [T], log return of each bar; it opens where the one before closed.
        deviation: float64 [T], deviation of the path inside each bar.
        volume: float64 [T].
        rng: draws the paths.
    """
    count = len(returns)
    path = np.cumsum(rng.standard_normal((count, _PATH_STEPS)), axis=1) / math.sqrt(_PATH_STEPS)
    share = np.arange(1, _PATH_STEPS + 1) / _PATH_STEPS
    bridge = (path - path[:, -1:] * share) * deviation[:, None] + returns[:, None] * share
    level = np.concatenate([[0.0], np.cumsum(returns)])
    edges = config.start_price * np.exp(level)
    opens, close = edges[:-1], edges[1:]
    high = np.maximum(opens * np.exp(bridge.max(axis=1)), np.maximum(opens, close))
    low = np.minimum(opens * np.exp(bridge.min(axis=1)), np.minimum(opens, close))
    return Bars(
        symbol=config.symbol,
        step_ms=config.step_ms,
        timestamp=_START_MS + np.arange(count, dtype=np.int64) * config.step_ms,
        open=opens,
        high=high,
        low=low,
        close=close,
        volume=volume,
        funding_rate=np.full(count, np.nan),
        mark_open=opens,
        mark_high=high,
        mark_low=low,
        mark_close=close,
    )
