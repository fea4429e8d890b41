"""Whether a Sharpe ratio is more than luck: probabilistic and deflated Sharpe ratio, minimum track record.

Every Sharpe ratio here is that of ONE BAR, not a yearly one: divide a yearly one by the root of the bars in
a year, and a variance of yearly ones by the bars in a year. Kurtosis is that of the returns, not the excess:
3 for normal returns.

The standard error behind all of it, sqrt((1 - g3 SR + (g4 - 1) / 4 SR^2) / (n - 1)) (Mertens 2002), assumes
returns that are stationary and serially uncorrelated; they need not be normal. Net returns of a bar while
positions are held come close to that: what a position earns next hour is nearly uncorrelated with what it
earned in this one, however long it is held, unlike overlapping labels. Where returns are positively
autocorrelated (stale prices, averages of overlapping positions) the probabilities come out too extreme, and
the block bootstrap's interval of the Sharpe ratio is the one to trust.

Sources:
    Bailey & Lopez de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15(2).
    Bailey & Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40(5).
    Mertens (2002), Comments on variance of the IID estimator in Lo (2002).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate import trading_metrics
from quantum_trader.evaluate.records import SharpeTest

Floats = NDArray[np.float64]

_ROUNDING = 1e-12
"""Spread of returns, relative to their size, that rounding alone can leave on a constant series."""


_NORMAL_MAD = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""


def probabilistic_sharpe(
    sharpe: float, bars: int, *, skewness: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark` (Bailey & Lopez de Prado 2012, eq. 9).

    Args:
        sharpe: Sharpe ratio observed, of a bar.
        bars: returns it was observed on, at least 2.
        skewness: of the returns.
        kurtosis: of the returns, 3 for normal ones.
        benchmark: Sharpe ratio of a bar to exceed.

    Returns:
        In [0, 1]; NaN where an argument is NaN.

    Raises:
        ConfigError: fewer than two bars.
    """
    if bars < 2:
        raise ConfigError(f"bars: expected at least 2 returns, found {bars}; give a longer series.")
    distance = (sharpe - benchmark) * math.sqrt(bars - 1)
    variance = _variance_factor(sharpe, skewness, kurtosis)
    if math.isnan(distance) or math.isnan(variance):
        return float("nan")
    if variance == 0.0:
        return 0.5 if distance == 0.0 else float(distance > 0.0)
    return float(norm.cdf(distance / math.sqrt(variance)))


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of several trials without skill is expected to show.

    (1 - gamma) z(1 - 1/N) + gamma z(1 - 1/(N e)) standard deviations, gamma the Euler-Mascheroni constant
    (Bailey & Lopez de Prado 2014, eq. 1). The trials are taken to be independent; N similar ones are worth
    fewer, so that N counted from a ledger errs on the side of caution.

    Args:
        trials: N, configurations tried.
        variance: of their Sharpe ratios; the result is in the same unit (of a bar, or yearly).

    Returns:
        0 for one trial or none: nothing was selected. NaN where `variance` is.

    Raises:
        ConfigError: a negative variance.
    """
    if variance < 0:
        raise ConfigError(f"variance: expected at least 0, found {variance}; give the trials' own.")
    if trials <= 1:
        return 0.0
    gamma = float(np.euler_gamma)
    quantiles = (1 - gamma) * norm.isf(1 / trials) + gamma * norm.isf(1 / (trials * math.e))
    return float(math.sqrt(variance) * quantiles)


def trial_variance(sharpes: Floats, bars: int) -> float:
    """Variance of the Sharpe ratios of trials, for `deflated_sharpe`: how far apart those without skill lie.

    Bailey & Lopez de Prado (2014) take the plain variance. Here it is (1.4826 x median absolute deviation)^2,
    or 1 / bars, what chance alone makes of them, if that is larger: one trial that trades itself to ruin
    would raise the bar for all others, and many equal trials would take it away.

    Args:
        sharpes: float64 [N], Sharpe ratio of a bar of each trial.
        bars: bars they were measured on.

    Returns:
        0 for fewer than two trials.
    """
    if len(sharpes) < 2:
        return 0.0
    spread = _NORMAL_MAD * float(np.median(np.abs(sharpes - np.median(sharpes))))
    return max(spread**2, 1.0 / max(bars, 1))


def deflated_sharpe(
    sharpe: float, bars: int, *, trials: int, variance: float, skewness: float, kurtosis: float
) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of the trials would show by luck.

    Args:
        sharpe: Sharpe ratio observed, of a bar.
        bars: returns it was observed on, at least 2.
        trials: configurations tried before this one was chosen.
        variance: of the trials' Sharpe ratios of a bar.
        skewness: of the returns.
        kurtosis: of the returns, 3 for normal ones.

    Returns:
        In [0, 1]; from 0.95 on the ratio is hard to put down to selection (Bailey & Lopez de Prado 2014).

    Raises:
        ConfigError: fewer than two bars, or a negative variance.
    """
    luck = expected_maximum_sharpe(trials, variance)
    return probabilistic_sharpe(sharpe, bars, skewness=skewness, kurtosis=kurtosis, benchmark=luck)


def minimum_track_record(
    sharpe: float, *, skewness: float, kurtosis: float, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Returns needed before a Sharpe ratio exceeds `benchmark` with `confidence` (2012, eq. 13).

    Args:
        sharpe: Sharpe ratio observed, of a bar.
        skewness: of the returns.
        kurtosis: of the returns, 3 for normal ones.
        benchmark: Sharpe ratio of a bar to exceed.
        confidence: probability wanted, in (0.5, 1).

    Returns:
        Bars, not rounded; infinity where the ratio does not exceed the benchmark.

    Raises:
        ConfigError: a confidence outside (0.5, 1).
    """
    if not 0.5 < confidence < 1.0:
        raise ConfigError(f"confidence: expected between 0.5 and 1, found {confidence}; 0.95 is usual.")
    if math.isnan(sharpe) or math.isnan(benchmark):
        return float("nan")
    if sharpe <= benchmark:
        return math.inf
    deviations = float(norm.ppf(confidence)) / (sharpe - benchmark)
    return 1.0 + _variance_factor(sharpe, skewness, kurtosis) * deviations**2


def sharpe_test(returns: Floats, *, trials: int, variance: float, yearly_bars: float) -> SharpeTest | None:
    """How likely the Sharpe ratio of a series of returns is luck, alone and as the best of several trials.

    Args:
        returns: float64 [n], simple return of each bar, net.
        trials: configurations tried on these data, this one among them.
        variance: of the trials' Sharpe ratios of a bar.
        yearly_bars: bars in a year.

    Returns:
        None where there are fewer than two returns or they never vary: there is no ratio to test.

    Raises:
        ConfigError: a negative variance.
    """
    if len(returns) < 2 or float(np.ptp(returns)) <= _ROUNDING * float(np.max(np.abs(returns))):
        return None
    ratio = trading_metrics.sharpe(returns)
    deviations = returns - np.mean(returns)
    deviations = deviations / np.sqrt(np.mean(deviations**2))
    skewness, kurtosis = float(np.mean(deviations**3)), float(np.mean(deviations**4))
    luck = expected_maximum_sharpe(trials, variance)
    bars_needed = minimum_track_record(ratio, skewness=skewness, kurtosis=kurtosis)
    return SharpeTest(
        probabilistic=probabilistic_sharpe(ratio, len(returns), skewness=skewness, kurtosis=kurtosis),
        deflated=probabilistic_sharpe(
            ratio, len(returns), skewness=skewness, kurtosis=kurtosis, benchmark=luck
        ),
        trials=trials,
        expected_maximum=trading_metrics.annualised_ratio(luck, yearly_bars),
        years_needed=bars_needed / yearly_bars if math.isfinite(bars_needed) else math.nan,
    )


def _variance_factor(sharpe: float, skewness: float, kurtosis: float) -> float:
    """What skewness and kurtosis make of the variance of a Sharpe ratio, times the returns less one.

    No distribution has a kurtosis below skewness^2 + 1, which keeps it above zero; at that bound (returns
    of two values) rounding may take it below.
    """
    return max(1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2, 0.0)
