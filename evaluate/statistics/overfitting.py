"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Time is cut into an even number of blocks. Every half of the blocks serves once to select the agent that is
best there, and the other half to see how the selected one ranks (Bailey, Borwein, Lopez de Prado & Zhu 2015,
The probability of backtest overfitting, Journal of Computational Finance 20(4)). A Sharpe ratio needs sums
and sums of squares only, and those of a half are the sums of its blocks', so that all combinations together
are two products of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError

Floats = NDArray[np.float64]

_NO_VARIANCE = 1e-12
"""Share of an agent's overall variance below which a half counts as one without variance: rounding."""
_DIGITS = 12
"""Decimals of a Sharpe ratio of a bar that count. Products of matrices round equal columns differently, and
two agents that did the same have to tie."""


@dataclass(frozen=True, kw_only=True)
class Overfitting:
    """What selecting the best agent of one half of the time was worth on the other half.

    Attributes:
        probability: share of the combinations whose selected agent fell below the median of the other half;
            one exactly at the median counts half, so that selecting among equals gives 1/2.
        logits: float64 [combinations], log-odds of the selected agent's relative rank; 0 is the median.
        blocks: blocks of time that were combined.
        loss_probability: share of the combinations whose selected agent had a negative Sharpe ratio on the
            other half.
        slope: of the regression of the selected agent's Sharpe ratio on the other half on that of the half
            it was selected on; NaN where the latter never varies. Negative by construction, and no evidence,
            where one agent wins throughout: what one half has of a fixed total the other lacks.
    """

    probability: float
    logits: Floats
    blocks: int
    loss_probability: float
    slope: float


def backtest_overfitting(returns: Floats, *, blocks: int = 16) -> Overfitting | None:
    """How often the agent that is best on one half of the time is below the median on the other.

    Performance is the Sharpe ratio; an agent that never varies on a half has 0 there. Agents that tie for the
    first place are all selected and their ranks averaged, and ties in rank share their mean rank, so that the
    order of the columns never matters.

    Args:
        returns: float64 [n, m], return of each bar, one column an agent or trial.
        blocks: even number of stretches of time; n need not be a multiple of it.

    Returns:
        None for fewer than two agents, or fewer than two bars a block.

    Raises:
        ConfigError: `blocks` is odd or below 2.
    """
    if blocks < 2 or blocks % 2:
        raise ConfigError(f"blocks: expected an even number of at least 2, found {blocks}; 16 is usual.")
    bars, agents = returns.shape
    if agents < 2 or bars < 2 * blocks:
        return None
    selected, held_out = _performances(returns, blocks)
    best = selected == selected.max(axis=1, keepdims=True)
    ranks = _mean_where(_ranks_where(held_out, best), best)
    relative = ranks / (agents + 1)
    logits: Floats = np.log(relative / (1.0 - relative))
    # Averaged ranks may miss the median by a rounding error.
    side = np.sign(np.round(logits, _DIGITS))
    out_of_sample = _mean_where(held_out, best)
    return Overfitting(
        probability=float(np.mean(side < 0) + np.mean(side == 0) / 2),
        logits=logits,
        blocks=blocks,
        loss_probability=float(np.mean(out_of_sample < 0)),
        slope=_slope(selected.max(axis=1), out_of_sample),
    )


def _performances(returns: Floats, blocks: int) -> tuple[Floats, Floats]:
    """float64 [combinations, m] twice: Sharpe ratios on the blocks chosen and on the others."""
    bars = len(returns)
    # Moments about the overall mean: sums of squares of hourly returns would lose digits to it.
    centre = returns.mean(axis=0)
    deviations = returns - centre
    edges = np.arange(blocks) * bars // blocks
    sums = np.add.reduceat(deviations, edges, axis=0)
    squares = np.add.reduceat(deviations**2, edges, axis=0)
    lengths = np.diff(edges, append=bars).astype(np.float64)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    chosen = np.zeros((len(halves), blocks))
    np.put_along_axis(chosen, halves, 1.0, axis=1)
    floor = _NO_VARIANCE * (squares.sum(axis=0) / bars + centre**2)

    def sharpe(taken: Floats) -> Floats:
        count = (taken @ lengths)[:, None]
        mean = taken @ sums / count
        variance = (taken @ squares - count * mean**2) / (count - 1.0)
        varies = variance > floor
        ratio = (mean + centre) / np.sqrt(np.where(varies, variance, 1.0))
        known: Floats = np.where(varies, ratio, 0.0)
        return known.round(_DIGITS)

    return sharpe(chosen), sharpe(1.0 - chosen)


def _ranks_where(values: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """float64 [c, m]: ranks from 1 within each row, ties sharing their mean; 0 where not wanted."""
    ranks = np.zeros(values.shape)
    rows, columns = np.nonzero(wanted)
    mine = values[rows, columns][:, None]
    below = np.count_nonzero(values[rows] < mine, axis=1)
    equal = np.count_nonzero(values[rows] == mine, axis=1)
    ranks[rows, columns] = below + (equal + 1) / 2
    return ranks


def _mean_where(values: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """float64 [c]: mean over the wanted columns of each row, of which there is at least one."""
    mean: Floats = (values * wanted).sum(axis=1) / wanted.sum(axis=1)
    return mean


def _slope(x: Floats, y: Floats) -> float:
    deviations = x - x.mean()
    spread = float(deviations @ deviations)
    return float(deviations @ (y - y.mean())) / spread if spread > 0 else float("nan")
