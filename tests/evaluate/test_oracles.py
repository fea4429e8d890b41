"""Measures and intervals against the libraries that others use for them."""

from __future__ import annotations

import empyrical
import ffn.core
import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import StationaryBootstrap
from scipy.stats import spearmanr
from sklearn import metrics as sklearn_metrics

from quantum_trader.evaluate import bootstrap, signal_metrics, trading_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig

DAYS = 365.25
CONFIG = BootstrapConfig(block_bars=15, draws=4_000, seed=1)


def _returns(seed: int, bars: int = 1_500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.0005 + 0.02 * rng.standard_t(5, bars) / np.sqrt(5 / 3)


def _equity(returns: np.ndarray) -> np.ndarray:
    return 1_000.0 * np.concatenate([[1.0], np.cumprod(1.0 + returns)])


def _prices(equity: np.ndarray) -> pd.Series:
    return pd.Series(equity, pd.date_range("2020-01-01", periods=len(equity), freq="D"))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_empyrical_agrees_on_returns_and_risk(seed: int) -> None:
    """Total return, growth, volatility, Sharpe, Sortino, Calmar and drawdown are empyrical's."""
    returns = _returns(seed)
    equity = _equity(returns)
    yearly = {"annualization": DAYS}
    pairs = {
        "total return": (trading_metrics.total_return(equity), empyrical.cum_returns_final(returns)),
        "growth": (trading_metrics.cagr(equity, DAYS), empyrical.cagr(returns, **yearly)),
        "volatility": (
            trading_metrics.annualised_ratio(trading_metrics.volatility(returns), DAYS),
            empyrical.annual_volatility(returns, **yearly),
        ),
        "sharpe": (
            trading_metrics.annualised_ratio(trading_metrics.sharpe(returns), DAYS),
            empyrical.sharpe_ratio(returns, **yearly),
        ),
        "sortino": (
            trading_metrics.annualised_ratio(trading_metrics.sortino(returns), DAYS),
            empyrical.sortino_ratio(returns, **yearly),
        ),
        "calmar": (trading_metrics.calmar(equity, DAYS), empyrical.calmar_ratio(returns, **yearly)),
        "drawdown": (trading_metrics.max_drawdown(equity), -empyrical.max_drawdown(returns)),
    }
    for name, (ours, theirs) in pairs.items():
        assert ours == pytest.approx(theirs, rel=1e-9), name


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_ffn_agrees_on_equity_curves(seed: int) -> None:
    """From the same prices, ffn finds the same return, growth, Sharpe, Sortino, Calmar and drawdown."""
    equity = _equity(_returns(seed))
    prices = _prices(equity)
    returns = trading_metrics.returns(equity)
    theirs = pd.Series(returns, prices.index[1:])
    pairs = {
        "total return": (trading_metrics.total_return(equity), ffn.core.calc_total_return(prices)),
        "growth": (trading_metrics.cagr(equity, DAYS), ffn.core.calc_cagr(prices)),
        "sharpe": (
            trading_metrics.annualised_ratio(trading_metrics.sharpe(returns), DAYS),
            ffn.core.calc_sharpe(theirs, nperiods=DAYS),
        ),
        "sortino": (
            trading_metrics.annualised_ratio(trading_metrics.sortino(returns), DAYS),
            ffn.core.calc_sortino_ratio(theirs, nperiods=DAYS),
        ),
        "calmar": (trading_metrics.calmar(equity, DAYS), ffn.core.calc_calmar_ratio(prices)),
        "drawdown": (trading_metrics.max_drawdown(equity), -ffn.core.calc_max_drawdown(prices)),
    }
    for name, (ours, other) in pairs.items():
        assert ours == pytest.approx(float(other), rel=1e-6), name


def test_drawdowns_are_ffns_bar_by_bar() -> None:
    """The whole drawdown curve, and the longest stretch below a peak counted from it."""
    equity = _equity(_returns(6, 400))
    theirs = -ffn.core.to_drawdown_series(_prices(equity)).to_numpy()
    np.testing.assert_allclose(trading_metrics.drawdowns(equity), theirs, atol=1e-12)
    run = longest = 0
    for below in theirs > 0:
        run = run + 1 if below else 0
        longest = max(longest, run)
    assert trading_metrics.max_drawdown_bars(equity) == longest


@pytest.mark.parametrize("classes", [(0, 1, 2), (1, 2), (0, 2)])
def test_scikit_learn_agrees_on_decisions_and_probabilities(classes: tuple[int, ...]) -> None:
    """Accuracy, balanced accuracy, MCC, macro-F1, log-loss and Brier, also where a class never occurs."""
    rng = np.random.default_rng(len(classes) + classes[-1])
    labels = rng.choice(classes, 700).astype(np.int8)
    probabilities = rng.dirichlet((1.0, 2.0, 1.5), 700).astype(np.float32)
    decided = np.asarray(classes)[probabilities[:, classes].argmax(axis=1)]
    stated = probabilities.astype(np.float64) / probabilities.sum(axis=1, keepdims=True, dtype=np.float64)
    every = [0, 1, 2]
    pairs = {
        "accuracy": (
            signal_metrics.accuracy(labels, decided),
            sklearn_metrics.accuracy_score(labels, decided),
        ),
        "balanced accuracy": (
            signal_metrics.balanced_accuracy(labels, decided),
            sklearn_metrics.balanced_accuracy_score(labels, decided),
        ),
        "mcc": (
            signal_metrics.matthews_correlation(labels, decided),
            sklearn_metrics.matthews_corrcoef(labels, decided),
        ),
        "macro f1": (
            signal_metrics.macro_f1(labels, decided),
            sklearn_metrics.f1_score(labels, decided, average="macro"),
        ),
        "log-loss": (
            signal_metrics.log_loss(labels, stated),
            sklearn_metrics.log_loss(labels, stated, labels=every),
        ),
        "brier": (
            signal_metrics.brier_score(labels, stated),
            sklearn_metrics.brier_score_loss(labels, stated, labels=every, scale_by_half=False),
        ),
    }
    for name, (ours, theirs) in pairs.items():
        assert ours == pytest.approx(theirs, rel=1e-9), name


def test_scipy_agrees_on_the_rank_correlation() -> None:
    """Rank IC is scipy's Spearman correlation, with ties on both sides and unknown returns left out."""
    rng = np.random.default_rng(7)
    score = rng.normal(size=500).round(1)
    forward = (0.1 * score + rng.normal(size=500)).round(1)
    forward[::9] = np.nan
    theirs = spearmanr(score, forward, nan_policy="omit").statistic
    assert signal_metrics.rank_ic(score, forward) == pytest.approx(theirs)


def test_calibration_error_by_hand() -> None:
    """Two bins of three rows: |0.6 - 2/3| and |0.9 - 1/3| weigh the same."""
    confidence = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    correct = np.array([True, False, True, False, False, True])
    wanted = (abs(0.6 - 2 / 3) + abs(0.9 - 1 / 3)) / 2
    # The order of the rows is no matter.
    shuffled = np.array([3, 0, 5, 1, 4, 2])
    found = signal_metrics.expected_calibration_error(confidence[shuffled], correct[shuffled], bins=2)
    assert found == pytest.approx(wanted)


def _autocorrelated(seed: int, rows: int = 600) -> np.ndarray:
    """Moving sums of ten shocks: returns whose mean is about three times less certain than if independent."""
    shocks = np.random.default_rng(seed).normal(0.02, 1.0, rows + 9)
    return np.convolve(shocks, np.full(10, 0.01), mode="valid")


def test_arch_draws_the_same_distribution_of_means() -> None:
    """Resampled means have the deviation that arch's stationary bootstrap gives, and its percentiles."""
    values = _autocorrelated(8)
    arch = StationaryBootstrap(15, values, seed=2)
    theirs = arch.apply(np.mean, 4_000)[:, 0]
    ours = bootstrap.resampled_sums(values[:, None], block=15, draws=4_000, seed=1)[:, 0] / len(values)
    # The deviation of 4,000 draws is known to 1.1 %.
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    assert ours.mean() == pytest.approx(values.mean(), abs=4 * theirs.std() / np.sqrt(4_000))
    points = [0.025, 0.25, 0.5, 0.75, 0.975]
    np.testing.assert_allclose(
        np.quantile(ours, points), np.quantile(theirs, points), atol=0.12 * theirs.std()
    )


def test_arch_draws_the_same_distribution_of_ratios() -> None:
    """A ratio of sums (a win rate) and a Sharpe ratio resample as they do with arch."""
    rng = np.random.default_rng(9)
    values = _autocorrelated(10)
    trades = (rng.random(600) < 0.4).astype(float)
    wins = trades * (values > 0)
    theirs = StationaryBootstrap(15, wins, trades, seed=3).apply(lambda w, t: w.sum() / t.sum(), 4_000)[:, 0]
    sums = bootstrap.resampled_sums(np.stack([wins, trades], axis=1), block=15, draws=4_000, seed=1)
    ours = sums[:, 0] / sums[:, 1]
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    sharpe = StationaryBootstrap(15, values, seed=4).apply(lambda x: x.mean() / x.std(ddof=1), 4_000)[:, 0]
    found = bootstrap.sharpe_interval(values, config=CONFIG)
    low, high = np.quantile(sharpe, [0.025, 0.975])
    width = high - low
    assert found.low == pytest.approx(low, abs=0.12 * width)
    assert found.high == pytest.approx(high, abs=0.12 * width)


@pytest.mark.parametrize("block", [1, 15])
def test_intervals_are_archs_percentile_intervals(block: int) -> None:
    """Bounds of a mean lie where arch's do, to Monte Carlo error and a small-sample margin."""
    values = _autocorrelated(11)
    config = BootstrapConfig(block_bars=block, draws=4_000, seed=1)
    found = bootstrap.mean_interval(values, config=config)
    low, high = StationaryBootstrap(block, values, seed=5).conf_int(np.mean, 4_000, method="percentile")[:, 0]
    width = high - low
    assert found.low == pytest.approx(low, abs=0.08 * width)
    assert found.high == pytest.approx(high, abs=0.08 * width)
