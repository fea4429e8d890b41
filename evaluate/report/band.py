"""How far a curve of equity could lie elsewhere by luck: a block-bootstrap band around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate import trading_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig, stationary_blocks, tail_share

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Array = NDArray[Any]

POINTS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class EquityBand:
    """Pointwise interval around one agent's equity.

    Attributes:
        name: the agent.
        timestamps: int64 [n], milliseconds since the epoch, UTC.
        low, high: float64 [n], in multiples of the first equity.
        level: nominal coverage at each point, e.g. 0.95.
    """

    name: str
    timestamps: Array
    low: Floats
    high: Floats
    level: float


def equity_band(
    name: str, timestamps: Array, equity: Array, config: BootstrapConfig, points: int = POINTS
) -> EquityBand:
    """The curve plus the spread of resampled curves around the straight line that they have in common.

    At its end the band is the interval of the total return with the same `config`.

    Args:
        name: the agent.
        timestamps: int64 [n], milliseconds since the epoch, UTC, n >= 2.
        equity: float [n].
        config: how blocks of bars are resampled.
        points: points of the band; more make it smoother and the page longer.
    """
    growth = trading_metrics.log_returns(equity)
    at = np.unique(np.linspace(0, len(growth), min(points, len(growth) + 1)).round().astype(np.int64))
    total = np.concatenate([[0.0], np.cumsum(growth)])
    paths = resampled_paths(growth, at, config)
    tail = tail_share(len(growth), config.block_bars, config.level)
    around = np.exp(total[at] + paths - at * growth.mean())
    low, high = np.quantile(around, [tail, 1 - tail], axis=0)
    return EquityBand(
        name=name,
        timestamps=np.asarray(timestamps)[at],
        low=low,
        high=high,
        level=config.level,
    )


def resampled_paths(values: Floats, at: Integers, config: BootstrapConfig) -> Floats:
    """float64 [draws, k]: sums of the first `at` values of each resample.

    Args:
        values: float64 [n].
        at: int64 [k], ascending, from 0 to n.
        config: block, draws and seed.
    """
    starts, lengths = stationary_blocks(len(values), config.block_bars, config.draws, config.seed)
    prefix = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values]))])
    ends = np.cumsum(lengths, axis=1)
    whole = np.cumsum(prefix[starts + lengths] - prefix[starts], axis=1)
    before = np.concatenate([np.zeros((len(starts), 1)), whole[:, :-1]], axis=1)
    paths = np.empty((len(starts), len(at)))
    for draw, (first, length, end) in enumerate(zip(starts, lengths, ends, strict=True)):
        block = np.minimum(np.searchsorted(end, at), len(end) - 1)
        into = at - (end[block] - length[block])
        paths[draw] = before[draw, block] + prefix[first[block] + into] - prefix[first[block]]
    return paths
