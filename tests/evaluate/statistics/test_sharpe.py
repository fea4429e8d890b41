from __future__ import annotations

import ffn.core
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm
from skfolio import measures

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.statistics.sharpe import (
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_test,
)

YEAR = 8766.0


def _returns(seed: int, bars: int = 500) -> np.ndarray:
    return 0.001 + 0.01 * np.random.default_rng(seed).standard_t(6, bars)


def test_the_worked_example_of_the_paper() -> None:
    """Bailey & Lopez de Prado 2014: yearly SR 2.5 on 1,250 days, best of 100 trials, has DSR 0.9004."""
    found = deflated_sharpe(
        2.5 / np.sqrt(250), 1250, trials=100, variance=0.5 / 250, skewness=-3.0, kurtosis=10.0
    )
    assert found == pytest.approx(0.9004, abs=5e-5)
    # The same paper: with normal returns, and with 46 trials only, it passes 0.95.
    luck = expected_maximum_sharpe(100, 0.5 / 250)
    assert luck == pytest.approx(0.1132, abs=5e-5)
    fewer = deflated_sharpe(
        2.5 / np.sqrt(250), 1250, trials=46, variance=0.5 / 250, skewness=-3.0, kurtosis=10.0
    )
    assert fewer == pytest.approx(0.9505, abs=5e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_skfolio_gives_the_same_probabilities(seed: int) -> None:
    """Probabilistic and deflated Sharpe ratio are skfolio's, given the same moments."""
    returns = _returns(seed)
    trials = 0.02 * np.random.default_rng(seed + 10).normal(size=30)
    moments = {
        "skewness": float(measures.skew(returns)),
        "kurtosis": float(measures.kurtosis(returns)),
    }
    ratio = returns.mean() / returns.std(ddof=1)
    assert probabilistic_sharpe(ratio, 500, benchmark=0.01, **moments) == pytest.approx(
        measures.probabilistic_sharpe_ratio(returns, benchmark_sharpe_ratio=0.01)
    )
    assert deflated_sharpe(ratio, 500, trials=30, variance=trials.var(ddof=1), **moments) == pytest.approx(
        measures.deflated_sharpe_ratio(returns, trials)
    )


def test_ffn_gives_the_same_deflated_ratio() -> None:
    """ffn's deflated Sharpe ratio differs only by the small-sample factors of its moments."""
    returns = _returns(3, 5_000)
    trials = 0.02 * np.random.default_rng(4).normal(size=30)
    dates = pd.date_range("2024-01-01", periods=len(returns), freq="h")
    theirs = ffn.core.calc_deflated_sharpe_ratio(
        pd.Series(returns, dates), trials, nperiods=8766, annualized_trials=False
    )
    ours = sharpe_test(returns, trials=30, variance=float(trials.var(ddof=1)), yearly_bars=YEAR)
    assert ours is not None
    assert ours.deflated == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("trials", [2, 10, 200])
def test_the_best_of_many_by_simulation(trials: int) -> None:
    """The expected maximum is near the mean of the largest of N normal draws, and skfolio's."""
    draws = np.random.default_rng(5).normal(0, 0.3, size=(20_000, trials)).max(axis=1)
    found = expected_maximum_sharpe(trials, 0.09)
    assert found == pytest.approx(measures.expected_max_sharpe_ratio(trials, 0.3))
    # An extreme-value approximation: 0.52 for the 0.56 of two draws, but close from ten on.
    assert found == pytest.approx(draws.mean(), rel=0.1 if trials == 2 else 0.02)


def test_one_trial_is_not_deflated() -> None:
    """With one trial nothing was selected: the deflated ratio is the probabilistic one."""
    assert expected_maximum_sharpe(1, 0.5) == 0.0
    assert expected_maximum_sharpe(0, 0.5) == 0.0
    found = sharpe_test(_returns(6), trials=1, variance=0.1, yearly_bars=YEAR)
    assert found is not None
    assert found.deflated == found.probabilistic
    assert found.expected_maximum == 0.0


def test_expected_maximum_of_a_test_is_yearly() -> None:
    """The luck of the best of ten with a variance of 1/8766 a bar is 1.57 a year."""
    found = sharpe_test(_returns(7), trials=10, variance=1 / YEAR, yearly_bars=YEAR)
    assert found is not None
    assert found.expected_maximum == pytest.approx(1.5746, abs=1e-3)
    assert found.trials == 10
    assert found.deflated < found.probabilistic


def test_normal_returns_by_hand() -> None:
    """SR 0.1 on 401 normal returns: z = 0.1 * 20 / sqrt(1 + 0.01 / 2)."""
    assert probabilistic_sharpe(0.1, 401) == pytest.approx(norm.cdf(2.0 / np.sqrt(1.005)))


def test_a_series_that_never_varies_is_not_tested() -> None:
    """Constant or too few returns have no Sharpe ratio, rounding or not."""
    for constant in (np.zeros(50), np.full(50, 0.1) * (1 + 1e-16), np.array([0.1]), np.zeros(0)):
        assert sharpe_test(constant, trials=5, variance=0.1, yearly_bars=YEAR) is None


def test_an_unknown_variance_leaves_the_deflated_ratio_unknown() -> None:
    """NaN in, NaN out: a deflated ratio is never stated on a variance that nobody knows."""
    found = sharpe_test(_returns(8), trials=5, variance=float("nan"), yearly_bars=YEAR)
    assert found is not None
    assert np.isnan(found.deflated)
    assert np.isfinite(found.probabilistic)
    assert np.isnan(minimum_track_record(float("nan"), skewness=0.0, kurtosis=3.0))


def test_two_valued_returns_reach_the_bound_of_kurtosis() -> None:
    """Where the formula's variance vanishes the answer is certain, and no warning."""
    # skewness -2, kurtosis 5 = 1 + (-2)^2, so that 1 + 2 SR + SR^2 = 0 at SR = -1.
    assert probabilistic_sharpe(-1.0, 10, skewness=-2.0, kurtosis=5.0) == 0.0
    assert probabilistic_sharpe(-1.0, 10, skewness=-2.0, kurtosis=5.0, benchmark=-2.0) == 1.0
    assert probabilistic_sharpe(-1.0, 10, skewness=-2.0, kurtosis=5.0, benchmark=-1.0) == 0.5


@settings(max_examples=100, deadline=None)
@given(
    sharpe=st.floats(0.01, 0.5),
    skewness=st.floats(-2, 2),
    extra=st.floats(0.5, 10),
    confidence=st.floats(0.6, 0.99),
)
def test_the_minimum_track_record_is_just_enough(
    sharpe: float, skewness: float, extra: float, confidence: float
) -> None:
    """A ratio observed for exactly the minimum track record has exactly the wanted probability."""
    kurtosis = skewness**2 + 1 + extra
    bars = minimum_track_record(sharpe, skewness=skewness, kurtosis=kurtosis, confidence=confidence)
    assert bars > 1
    for enough, offset in ((True, 1), (False, -1)):
        rounded = int(np.floor(bars)) + (1 if offset > 0 else 0)
        if rounded >= 2:
            found = probabilistic_sharpe(sharpe, rounded, skewness=skewness, kurtosis=kurtosis)
            assert (found >= confidence - 1e-9) if enough else (found <= confidence + 1e-9)
    assert minimum_track_record(0.0, skewness=skewness, kurtosis=kurtosis) == np.inf


@settings(max_examples=100, deadline=None)
@given(
    sharpe=st.floats(-0.5, 0.5),
    bars=st.integers(2, 10_000),
    skewness=st.floats(-2, 2),
    trials=st.integers(1, 1_000),
    variance=st.floats(0, 0.1),
)
def test_more_trials_and_more_variance_never_help(
    sharpe: float, bars: int, skewness: float, trials: int, variance: float
) -> None:
    """The deflated ratio is a probability that falls with trials and variance, at most the plain one."""
    moments = {"skewness": skewness, "kurtosis": skewness**2 + 2}
    plain = probabilistic_sharpe(sharpe, bars, **moments)
    found = deflated_sharpe(sharpe, bars, trials=trials, variance=variance, **moments)
    assert 0.0 <= found <= plain <= 1.0
    assert deflated_sharpe(sharpe, bars, trials=trials + 1, variance=variance, **moments) <= found + 1e-12
    assert deflated_sharpe(sharpe, bars, trials=trials, variance=variance + 0.1, **moments) <= found + 1e-12


def test_probabilities_of_skilless_series_are_uniform() -> None:
    """Over independent series without skill, skewed and heavy-tailed ones too, 5 % exceed 0.95."""
    rng = np.random.default_rng(9)
    series = rng.standard_gamma(1.0, size=(2_000, 400)) - 1.0
    found = [sharpe_test(row, trials=1, variance=0.0, yearly_bars=YEAR) for row in series]
    high = np.mean([test.probabilistic > 0.95 for test in found if test is not None])
    low = np.mean([test.probabilistic < 0.05 for test in found if test is not None])
    assert high == pytest.approx(0.05, abs=0.02)
    assert low == pytest.approx(0.05, abs=0.02)


def test_impossible_arguments_are_refused() -> None:
    """Fewer than two bars, a negative variance and a confidence of one half raise ConfigError."""
    with pytest.raises(ConfigError, match="at least 2 returns"):
        probabilistic_sharpe(0.1, 1)
    with pytest.raises(ConfigError, match="variance"):
        expected_maximum_sharpe(3, -0.1)
    with pytest.raises(ConfigError, match="confidence"):
        minimum_track_record(0.1, skewness=0.0, kurtosis=3.0, confidence=0.5)


def test_years_needed_are_those_after_which_the_ratio_is_sure() -> None:
    """The same returns again and again are not sure one repetition before, and are after; a loss never is."""
    noise = np.random.default_rng(5).normal(size=500)
    returns = 0.01 * (noise - noise.mean()) / noise.std() + 0.0004
    found = sharpe_test(returns, trials=1, variance=0.0, yearly_bars=250.0)
    assert found is not None
    copies = found.years_needed / 2.0
    assert copies > 2.0
    for times, sure in ((int(copies), False), (int(copies) + 1, True)):
        again = sharpe_test(np.tile(returns, times), trials=1, variance=0.0, yearly_bars=250.0)
        assert again is not None
        assert (again.probabilistic >= 0.95) == sure
    lost = sharpe_test(-returns, trials=1, variance=0.0, yearly_bars=250.0)
    assert lost is not None
    assert np.isnan(lost.years_needed)
