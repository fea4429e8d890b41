from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import SPA
from hypothesis import given, settings, strategies as st
from scipy.signal import lfilter
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.statistics.comparison import (
    diebold_mariano,
    holm,
    superior_predictive_ability,
)


def _autocorrelated(seed: int, series: int, rows: int, persistence: float) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(size=(series, rows + 200))
    return np.asarray(lfilter([1.0], [1.0, -persistence], shocks, axis=1))[:, 200:]


@pytest.mark.parametrize("lags", [0, 3, 12])
def test_statsmodels_gives_the_same_error(lags: int) -> None:
    """Without the small-sample factor the statistic is that of a constant with HAC errors."""
    difference = _autocorrelated(lags, 1, 300, 0.5)[0] + 0.1
    ours = diebold_mariano(difference, np.zeros(300), lags=lags)
    fit = sm.OLS(difference, np.ones(300)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    ahead = lags + 1
    factor = math.sqrt((300 + 1 - 2 * ahead + ahead * (ahead - 1) / 300) / 300)
    assert ours.statistic == pytest.approx(factor * fit.tvalues[0])
    assert ours.mean == pytest.approx(difference.mean())


def test_without_lags_it_is_students_paired_test() -> None:
    """With no lags the correction turns the test into Student's paired t test exactly."""
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=40), rng.normal(size=40)
    ours, theirs = diebold_mariano(left, right, lags=0), ttest_1samp(left - right, 0.0)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)


def test_the_test_keeps_its_size_on_autocorrelated_losses() -> None:
    """Losses that overlap by 12 bars, no true difference: about 5 % rejected; without lags far more."""
    rng = np.random.default_rng(2)
    shocks = rng.normal(size=(600, 1_000 + 11))
    sums = np.cumsum(np.pad(shocks, ((0, 0), (1, 0))), axis=1)
    overlapping = sums[:, 12:] - sums[:, :-12]
    zero = np.zeros(1_000)
    aware = np.mean([diebold_mariano(row, zero, lags=24).p < 0.05 for row in overlapping])
    naive = np.mean([diebold_mariano(row, zero, lags=0).p < 0.05 for row in overlapping])
    assert 0.03 <= aware <= 0.10
    assert naive > 0.4


def test_the_test_has_power() -> None:
    """A forecaster that loses less every day is told apart, with the sign of the difference."""
    left = _autocorrelated(3, 1, 1_000, 0.3)[0]
    found = diebold_mariano(left, left + 0.2 + np.random.default_rng(4).normal(0, 1, 1_000), lags=5)
    assert found.statistic < 0
    assert found.mean < 0
    assert found.p < 0.01


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 60), lags=st.integers(0, 30))
def test_sides_can_be_swapped_and_nothing_overflows(seed: int, rows: int, lags: int) -> None:
    """Swapping the sides turns the sign, the p-value stays, and short samples give NaN, not warnings."""
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=rows), rng.normal(size=rows)
    one, other = diebold_mariano(left, right, lags=lags), diebold_mariano(right, left, lags=lags)
    assert one.mean == pytest.approx(-other.mean)
    assert np.isnan(one.p) == (rows <= lags + 1)
    assert one.p == pytest.approx(other.p, nan_ok=True)
    assert one.statistic == pytest.approx(-other.statistic, nan_ok=True)


def test_undefined_comparisons_are_nan_and_wrong_ones_refused() -> None:
    """Equal losses or none have no test; losses of other moments and negative lags raise ConfigError."""
    same = np.random.default_rng(5).normal(size=50)
    assert np.isnan(diebold_mariano(same, same, lags=3).p)
    assert diebold_mariano(same, same, lags=3).mean == 0.0
    assert np.isnan(diebold_mariano(same[:0], same[:0], lags=0).mean)
    with pytest.raises(ConfigError, match="expected 50 losses"):
        diebold_mariano(same, same[:-1], lags=3)
    with pytest.raises(ConfigError, match="lags"):
        diebold_mariano(same, same + 1, lags=-1)


def test_superior_ability_is_arch_on_equal_columns() -> None:
    """On columns that deviate alike the p-value is that of arch's SPA on losses."""
    rng = np.random.default_rng(6)
    benchmark = 0.01 * rng.normal(size=400)
    others = benchmark[:, None] + 0.01 * rng.normal(size=(400, 4)) + np.array([0.0006, 0.0, -0.001, 0.0])
    theirs = SPA(-benchmark, -others, block_size=5, reps=1_000, seed=1)
    theirs.compute()
    ours = superior_predictive_ability(benchmark, others, block=5, draws=1_000, seed=1)
    assert ours == pytest.approx(theirs.pvalues["consistent"], abs=0.05)


def test_a_volatile_agent_does_not_hide_a_steady_one() -> None:
    """The test is studentised: one agent with fifty times the risk leaves a clear winner significant."""
    rng = np.random.default_rng(7)
    benchmark = np.zeros(500)
    steady, wild = 0.001 * rng.normal(size=500) + 0.0003, 0.05 * rng.normal(size=500)
    alone = superior_predictive_ability(benchmark, steady[:, None], block=5, draws=500, seed=1)
    both = superior_predictive_ability(
        benchmark, np.stack([steady, wild], axis=1), block=5, draws=500, seed=1
    )
    assert alone < 0.01
    assert both < 0.02


def test_superior_ability_keeps_its_size_and_has_power() -> None:
    """Eight agents without skill are rarely called superior; one that truly is nearly always."""
    chance, found = [], []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        benchmark = 0.01 * rng.normal(size=300)
        others = 0.01 * rng.normal(size=(300, 8))
        chance.append(superior_predictive_ability(benchmark, others, block=5, draws=200, seed=seed))
        if seed < 20:
            others[:, 3] += 0.004
            found.append(superior_predictive_ability(benchmark, others, block=5, draws=200, seed=seed))
    assert np.mean(np.array(chance) < 0.05) <= 0.12
    assert np.mean(chance) == pytest.approx(0.5, abs=0.15)
    assert np.mean(np.array(found) < 0.05) >= 0.85


def test_the_benchmark_itself_does_not_count() -> None:
    """Columns equal to the benchmark are left out; with none left, or hardly any bars, it is not tested."""
    rng = np.random.default_rng(8)
    benchmark, other = rng.normal(size=100), rng.normal(size=100)
    both = np.stack([benchmark, other], axis=1)
    options = {"block": 3.0, "draws": 100, "seed": 1}
    assert superior_predictive_ability(benchmark, both, **options) == superior_predictive_ability(
        benchmark, other[:, None], **options
    )
    assert np.isnan(superior_predictive_ability(benchmark, both[:, :1], **options))
    assert np.isnan(superior_predictive_ability(benchmark[:15], both[:15], **options))
    with pytest.raises(ConfigError, match="expected 99 returns"):
        superior_predictive_ability(benchmark[:-1], both, **options)


def test_global_random_state_is_left_alone() -> None:
    """The p-value depends on the seed only, and numpy's global generator is where it was."""
    rng = np.random.default_rng(9)
    benchmark, others = rng.normal(size=100), rng.normal(size=(100, 3))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = superior_predictive_ability(benchmark, others, block=3, draws=100, seed=5)
    np.random.seed(3)  # noqa: NPY002
    second = superior_predictive_ability(benchmark, others, block=3, draws=100, seed=5)
    np.random.seed(3)  # noqa: NPY002
    after = np.random.get_state()[1]  # noqa: NPY002
    superior_predictive_ability(benchmark, others, block=3, draws=100, seed=5)
    assert first == second
    np.testing.assert_array_equal(after, np.random.get_state()[1])  # noqa: NPY002
    assert before.shape == after.shape


@pytest.mark.parametrize("tests", [1, 4, 12])
def test_holm_is_statsmodels(tests: int) -> None:
    """Adjusted p-values are those of statsmodels, in the order given, ties among them."""
    p_values = np.random.default_rng(tests).uniform(0, 0.5, tests).round(1)
    np.testing.assert_allclose(holm(p_values.tolist()), multipletests(p_values, method="holm")[1], atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    """Adjusted p-values are at least the plain ones, at most 1, and in the same order."""
    adjusted = np.array(holm(p_values))
    assert np.all(adjusted >= np.array(p_values))
    assert np.all(adjusted <= 1)
    assert np.all(np.diff(adjusted[np.argsort(p_values)]) >= 0)


def test_holm_by_hand_and_past_nan() -> None:
    """Three tests: 3, 2 and 1 times their p, never falling; a NaN is no test."""
    nan = float("nan")
    assert holm([0.01, nan, 0.04, 0.03]) == pytest.approx([0.03, nan, 0.06, 0.06], nan_ok=True)
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]
