"""Stationary block bootstrap (Politis & Romano 1994): intervals that survive overlapping labels.

Rows that overlap in time are not independent: on 24-bar labels a nominal 95 % Wilson interval covers the
truth about 40 % of the time. Resampling blocks of geometric length keeps the dependence within a block, so
the mean block must be at least as long as a label. Statistics that are functions of column sums (means,
ratios, Sharpe) are computed from prefix sums, one subtraction a block, without building the resampled rows.

Plain percentiles of the resamples are too narrow when there are few blocks: with 16 of them a nominal 95 %
interval covered 87 %. They are cut further out, as Student's t is wider than the normal (`tail_share`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Array = NDArray[Any]

DRAWS = 2_000
FEWEST_EVENTS = 10
"""Bars with an event below which their share gets no interval: resampling a handful says nothing."""
FEWEST_STRETCHES = 6
"""Blocks of time with an event below which it gets none either: events of one stretch are as good as one."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its expanded percentile interval.

    Attributes:
        estimate: the statistic of the data as they are.
        low, high: bounds; NaN where the statistic was defined in hardly any draw.
        level: nominal coverage, e.g. 0.95.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    """How intervals are drawn."""

    block_bars: float = 24.0
    """Mean block in bars, at least the label length; longer keeps slower dependence but widens the tails."""
    draws: int = DRAWS
    """Resamples; more makes the bounds themselves less random."""
    level: float = 0.95
    """Nominal coverage; raising it widens every interval."""
    seed: int = 0
    """Seed of the resampling."""


def stationary_blocks(rows: int, block: float, draws: int, seed: int) -> tuple[Integers, Integers]:
    """The blocks of `draws` circular resamples of `rows` rows.

    Args:
        rows: rows of the data, at least 1.
        block: mean block length in rows, at least 1.
        draws: number of resamples.
        seed: seed of the generator.

    Returns:
        starts, lengths: int64 [draws, K]; the lengths of each resample add up to `rows`, and a block that
        reaches the end of the data goes on at its beginning.
    """
    rng = np.random.default_rng(seed)
    mean = min(max(block, 1.0), float(rows))
    typical = rows / mean
    width = int(np.ceil(typical + 6 * np.sqrt(typical) + 8))
    lengths = rng.geometric(1 / mean, size=(draws, width)).astype(np.int64)
    while np.any(lengths.sum(axis=1) < rows):
        more = rng.geometric(1 / mean, size=(draws, width)).astype(np.int64)
        lengths = np.concatenate([lengths, more], axis=1)
    ends = np.minimum(np.cumsum(lengths, axis=1), rows)
    lengths = np.diff(ends, axis=1, prepend=0)
    starts = rng.integers(0, rows, size=lengths.shape)
    return starts, lengths


def resampled_sums(data: Array, *, block: float, draws: int, seed: int) -> Floats:
    """float64 [draws, m]: column sums of each resample of `data`, float [n, m]."""
    starts, lengths = stationary_blocks(len(data), block, draws, seed)
    twice = np.concatenate([data, data]).astype(np.float64)
    prefix = np.concatenate([np.zeros((1, twice.shape[1])), np.cumsum(twice, axis=0)])
    sums: Floats = np.stack(
        [(column[starts + lengths] - column[starts]).sum(axis=1) for column in prefix.T], axis=1
    )
    return sums


def interval(
    statistic: Callable[[Array], float],
    data: Array,
    *,
    block: float,
    seed: int,
    level: float = 0.95,
    draws: int = DRAWS,
) -> Interval:
    """Interval of any statistic of the rows of `data`, float [n, ...], resampled whole and in blocks."""
    if len(data) == 0:
        return _undefined(level)
    starts, lengths = stationary_blocks(len(data), block, draws, seed)
    values = np.array(
        [statistic(data[_rows(*pair, len(data))]) for pair in zip(starts, lengths, strict=True)]
    )
    return _percentiles(statistic(data), values, level, tail_share(len(data), block, level))


def sums_interval(
    statistic: Callable[[Floats], Floats], data: Array, *, config: BootstrapConfig, block: float | None = None
) -> Interval:
    """Interval of a statistic of column sums.

    Args:
        statistic: maps sums float64 [draws, m] to values float64 [draws].
        data: float [n, m], one row a bar.
        config: block, draws, level and seed.
        block: mean block in rows, where it is not `config.block_bars`.
    """
    if len(data) == 0:
        return _undefined(config.level)
    length = config.block_bars if block is None else block
    sums = resampled_sums(data, block=length, draws=config.draws, seed=config.seed)
    estimate = float(statistic(data.astype(np.float64).sum(axis=0)[None, :])[0])
    tail = tail_share(len(data), length, config.level)
    return _percentiles(estimate, statistic(sums), config.level, tail)


@lru_cache(maxsize=256)
def tail_share(rows: int, block: float, level: float) -> float:
    """Share of the resamples to cut off at either end, so that what is left covers `level`.

    The variance of a resampled mean is an estimate of the mean's variance: autocovariances about the mean of
    the sample, weighted by how often a block joins two rows. On independent rows it falls short by a factor
    `kept` and scatters like chi-square of `freedom` degrees, both known from the weights alone. Student's
    t / sqrt(kept) deviations are therefore needed where the percentiles offer the normal's. Percentiles
    further out give just that, and stay within the range of the statistic (Hesterberg 2015, expanded
    percentiles, who has rows - 1 degrees for single rows, as here with a block of 1; degrees of freedom after
    Satterthwaite; Shao & Politis 2013 on why a block's share of the sample must not be taken for zero).

    Args:
        rows: rows of the data.
        block: mean block length in rows.
        level: nominal coverage.

    Returns:
        In [0, (1 - level) / 2]; half of 1 - level where there are fewer than two rows.
    """
    # Loads slowly, and everything that only names an `Interval` would pay for it.
    from scipy.stats import norm, t as student

    nominal = (1.0 - level) / 2.0
    if rows < 2:
        return nominal
    apart = np.arange(rows)
    stays = 1.0 - 1.0 / min(max(block, 1.0), float(rows))
    share = apart / rows
    # Politis & Romano 1994, lemma 1; blocks go on at the beginning, which the second half is.
    weights = (1.0 - share) * stays**apart + share * stays ** (rows - apart)
    pairs = np.where(apart == 0, rows, 2.0 * (rows - apart))
    running = np.cumsum(weights)
    by_row = running + running[::-1] - weights[0]
    total = float(by_row.sum())
    kept = 1.0 - total / rows**2
    squared = float(pairs @ weights**2) - 2.0 * float(by_row @ by_row) / rows + (total / rows) ** 2
    freedom = (rows * kept) ** 2 / squared
    deviations = float(student.isf(nominal, freedom)) / np.sqrt(kept)
    return float(norm.sf(deviations))


def ratio_interval(numerator: Array, denominator: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of sum(numerator) / sum(denominator), float [n]: a share or mean of events binned by bar."""
    return sums_interval(_ratio, np.stack([numerator, denominator], axis=1), config=config)


def share_interval(hits: Array, events: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of the share of events that hit, float [n] a bar; NaN bounds where events are too few."""
    found = ratio_interval(hits, events, config=config)
    bars = np.flatnonzero(events)
    stretches = len(np.unique(bars // max(config.block_bars, 1.0)))
    few = len(bars) < FEWEST_EVENTS or stretches < FEWEST_STRETCHES
    return replace(found, low=float("nan"), high=float("nan")) if few else found


def mean_interval(values: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of the mean of float [n]."""
    return sums_interval(lambda sums: sums[:, 0] / len(values), values[:, None], config=config)


def total_return_interval(log_returns: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of the total simple return of float [n] log returns a bar."""
    return sums_interval(lambda sums: np.expm1(sums[:, 0]), log_returns[:, None], config=config)


def sharpe_interval(returns: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of the Sharpe ratio of a bar of float [n] simple returns."""

    def ratio(sums: Floats) -> Floats:
        mean = sums[:, 0] / len(returns)
        # Rounding can leave the variance of a constant series a hair off zero.
        variance = (sums[:, 1] - len(returns) * mean**2) / max(len(returns) - 1, 1)
        defined = variance > 1e-18
        return np.where(defined, mean / np.sqrt(np.where(defined, variance, 1.0)), np.nan)

    return sums_interval(ratio, np.stack([returns, returns**2], axis=1), config=config)


def win_rate_interval(bars: Array, net_pnl: Array, *, length: int, config: BootstrapConfig) -> Interval:
    """Interval of the win rate over closed trades.

    Trades are binned by the bar they were entered on and whole stretches of bars are resampled, so trades
    that several symbols made together, or that overlap, stay together.

    Args:
        bars: int [M], bar each trade was entered on, in [0, length).
        net_pnl: float [M], profit of each trade after all costs.
        length: bars of the whole period.
        config: block, draws, level and seed.
    """
    wins = np.bincount(bars, weights=net_pnl > 0, minlength=length)
    trades = np.bincount(bars, minlength=length)
    return share_interval(wins, trades, config=config)


def paired_difference(left: Array, right: Array, *, config: BootstrapConfig) -> Interval:
    """Interval of the mean of left - right, both float [n] on the same bars: resampled together."""
    return mean_interval(left.astype(np.float64) - right, config=config)


def _rows(starts: Integers, lengths: Integers, rows: int) -> Integers:
    """int64 [rows]: row numbers of one resample."""
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return (np.repeat(starts, lengths) + np.arange(rows) - before) % rows


def _ratio(sums: Floats) -> Floats:
    known = sums[:, 1] > 0
    ratio: Floats = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=known)
    return ratio


def _percentiles(estimate: float, values: Floats, level: float, tail: float) -> Interval:
    known = values[np.isfinite(values)]
    # A statistic that most resamples leave undefined (three trades in a year) has no interval to speak of.
    if not np.isfinite(estimate) or len(known) < len(values) / 2:
        return Interval(estimate=estimate, low=float("nan"), high=float("nan"), level=level)
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level)


def _undefined(level: float) -> Interval:
    return Interval(estimate=float("nan"), low=float("nan"), high=float("nan"), level=level)
