"""Where and how episodes start: drawn from each account's own generator, or named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.jit import jit
from quantum_trader.envs.joined import JoinedMarkets
from quantum_trader.envs.layout import QUOTE, START, Matrix, matrix, records

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Limits = tuple[float, float, float, float, float, float]

_CHANCES = 4


def draw_starts(joined: JoinedMarkets, limits: Limits, random: Sequence[np.random.Generator]) -> Matrix:
    """float64 [K, fields of `Start`]: one episode for each generator.

    Every generator gives the same few numbers for every episode whatever the configuration draws from them,
    so that a seed finds the same starts with and without, say, random costs.
    """
    chances = np.empty((len(random), _CHANCES))
    for row, generator in zip(chances, random, strict=True):
        generator.random(out=row)
    starts = matrix(len(random), START)
    _from_chances(chances, joined.starts, joined.offsets, *limits, starts)
    return starts


def fixed_starts(joined: JoinedMarkets, config: EnvConfig, rows: Indices) -> Matrix:
    """float64 [K, fields of `Start`]: episodes from `rows` on, int64 [K], with nothing left to chance."""
    starts = matrix(len(rows), START)
    start = records(starts, START)
    start["row"] = rows
    start["market"] = joined.market_of(rows)
    start["length"] = config.episode_bars
    start["leverage"] = config.leverage
    start["cost"] = config.cost_multiplier
    return starts


def start_limits(config: EnvConfig) -> Limits:
    """Lowest and highest length, leverage and cost factor of an episode, for `draw_starts`."""
    longest = float(config.episode_bars)
    shortest = (longest + 1.0) // 2.0 if config.random_length else longest
    return shortest, longest, *config.leverages, *config.costs


@jit
def _from_chances(
    chances: Floats,
    rows: Indices,
    offsets: Indices,
    shortest: float,
    longest: float,
    low_leverage: float,
    high_leverage: float,
    low_cost: float,
    high_cost: float,
    starts: Matrix,
) -> None:
    """Turn numbers in [0, 1), float64 [K, 4], into starts."""
    begin = starts.view(START)
    for k in range(len(chances)):
        start = begin[k, 0]
        row = rows[int(chances[k, 0] * len(rows))]
        market = 0
        while offsets[market + 1] <= row:
            market += 1
        start.row = row
        start.market = market
        start.length = shortest + math.floor(chances[k, 1] * (longest - shortest + 1.0))
        start.leverage = low_leverage
        if high_leverage > low_leverage:
            start.leverage = low_leverage * (high_leverage / low_leverage) ** chances[k, 2]
        start.cost = low_cost + (high_cost - low_cost) * chances[k, 3]


def chosen_row(joined: JoinedMarkets, options: dict[str, Any]) -> int:
    """Row named by {"market": m, "bar": t}, which must be one at whose close a decision may be taken.

    Raises:
        ConfigError: there is no such market, or no decision may be taken at that bar.
    """
    for name, value in options.items():
        if name in ("market", "bar") and not isinstance(value, (int, np.integer)):
            raise ConfigError(f'options["{name}"] must be a whole number, found {value!r}.')
    market = int(options.get("market", 0))
    if not 0 <= market < len(joined.markets):
        raise ConfigError(f'options["market"] must be below {len(joined.markets)}, found {market}.')
    first, end = joined.offsets[market], joined.offsets[market + 1]
    usable = np.flatnonzero(records(joined.bars, QUOTE)["open_ended"][first:end])
    bar = int(options.get("bar", usable[0]))
    if bar not in usable:
        raise ConfigError(
            f'options["bar"] must be a bar with a full window and a successor, from {usable[0]} to '
            f"{usable[-1]} outside gaps, found {bar}."
        )
    return int(first) + bar
