"""Agents against each other: equal predictive ability, superior predictive ability, many tests at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.bootstrap import resampled_sums

Floats = NDArray[np.float64]

_NAN = float("nan")
_FEWEST_MOMENTS = 16


@dataclass(frozen=True, kw_only=True)
class DieboldMariano:
    """A test of equal predictive ability.

    Attributes:
        statistic: Student t of the mean difference; below zero, the left forecaster is better.
        p: two-sided p-value.
        mean: mean loss of the left less that of the right forecaster, in the unit of the losses.
    """

    statistic: float
    p: float
    mean: float


def diebold_mariano(left: Floats, right: Floats, *, lags: int) -> DieboldMariano:
    """Whether two forecasters lose equally on average (Diebold & Mariano 1995).

    The variance of the mean difference is Newey & West's (1987) with Bartlett weights, which never turns
    negative; the statistic is corrected for small samples and compared with Student's t of n - 1 degrees of
    freedom (Harvey, Leybourne & Newbold 1997) for a forecast of `lags` + 1 bars. Bartlett weights take
    1 - k / (lags + 1) of the dependence at lag k, so twice the bars that labels overlap is a better choice
    of `lags` than as many.

    Args:
        left, right: float64 [n], loss of each forecaster at each moment, in order; rows of several symbols
            at one moment averaged by the caller, for they are not independent.
        lags: autocovariances that count.

    Returns:
        NaN statistic and p where the difference never varies, or there are no more than lags + 1 moments.

    Raises:
        ConfigError: the losses differ in length, or `lags` is negative.
    """
    if left.shape != right.shape:
        raise ConfigError(
            f"right: expected {len(left)} losses, as many as left, found {len(right)}; give the same moments."
        )
    if lags < 0:
        raise ConfigError(f"lags: expected at least 0, found {lags}; give the bars that labels overlap.")
    moments = len(left)
    difference = left.astype(np.float64) - right
    mean = float(np.mean(difference)) if moments else _NAN
    if moments <= lags + 1 or np.ptp(difference) == 0:
        return DieboldMariano(statistic=_NAN, p=_NAN, mean=mean)
    error = math.sqrt(_newey_west(difference, lags) / moments)
    ahead = lags + 1
    correction = math.sqrt((moments + 1 - 2 * ahead + ahead * (ahead - 1) / moments) / moments)
    statistic = correction * mean / error
    p = 2.0 * float(student.sf(abs(statistic), moments - 1))
    return DieboldMariano(statistic=statistic, p=p, mean=mean)


def superior_predictive_ability(
    benchmark: Floats, others: Floats, *, block: float, draws: int, seed: int
) -> float:
    """p-value of "no agent's mean return exceeds the benchmark's" (Hansen 2005, consistent version).

    The test corrects for how many agents are compared and for how much alike they are; agents far worse than
    the benchmark do not blunt it. Losses are negative log returns, resampled by the stationary bootstrap.

    arch computes the deviations of the mean differences for its recentring, but does not divide by them
    (arch 8.0), so that the most volatile agent would decide the maximum alone. Each column is therefore
    brought to the same deviation before, which makes the statistic Hansen's studentised one.

    Args:
        benchmark: float64 [n], log return of the benchmark in each bar.
        others: float64 [n, m], log returns of the agents in the same bars; columns equal to the benchmark
            are left out.
        block: mean block length in bars.
        draws: number of resamples; the p-value is a multiple of 1 / draws.
        seed: of the resampling; no global random state is read or changed.

    Returns:
        In [0, 1]; NaN where no column is left, or there are fewer than 16 bars.

    Raises:
        ConfigError: the returns differ in length.
    """
    if len(benchmark) != len(others):
        raise ConfigError(
            f"others: expected {len(benchmark)} returns an agent, as many as the benchmark has, "
            f"found {len(others)}; give the same bars."
        )
    # Loads statsmodels, which takes a second that only a judgement should pay.
    from arch.bootstrap import SPA

    gains: Floats = others - benchmark[:, None]
    gains = gains[:, np.any(gains != 0, axis=0)]
    if gains.shape[1] == 0 or len(gains) < _FEWEST_MOMENTS:
        return _NAN
    deviation = resampled_sums(gains, block=block, draws=draws, seed=seed).std(axis=0) / math.sqrt(len(gains))
    scaled = gains / np.where(deviation > 0, deviation, 1.0)
    test = SPA(np.zeros(len(gains)), -scaled, block_size=max(round(block), 1), reps=draws, seed=seed)
    test.compute()
    return float(test.pvalues["consistent"])


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979): those below a level hold together at that level.

    Args:
        p_values: of the single tests, in any order; a NaN was not tested, does not count and stays NaN.
    """
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [_NAN] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = highest
    return adjusted


def _newey_west(values: Floats, lags: int) -> float:
    """Long-run variance with Bartlett weights; float64 [n]."""
    deviations = values - values.mean()
    total = float(deviations @ deviations)
    for lag in range(1, lags + 1):
        total += 2.0 * (1.0 - lag / (lags + 1)) * float(deviations[lag:] @ deviations[:-lag])
    return total / len(values)
