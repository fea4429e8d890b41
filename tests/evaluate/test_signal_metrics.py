from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as reference

from quantum_trader.evaluate import signal_metrics as metrics

HOLD, BUY, SELL = 0, 1, 2


def _draws(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, rows), rng.dirichlet((2.0, 1.0, 1.0), rows)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_decision_measures_agree_with_scikit_learn(seed: int) -> None:
    """Accuracy, balanced accuracy, MCC, macro-F1 and the confusion matrix are scikit-learn's."""
    labels, probabilities = _draws(seed)
    stated = probabilities.argmax(axis=1)
    assert metrics.accuracy(labels, stated) == pytest.approx(reference.accuracy_score(labels, stated))
    assert metrics.balanced_accuracy(labels, stated) == pytest.approx(
        reference.balanced_accuracy_score(labels, stated)
    )
    assert metrics.matthews_correlation(labels, stated) == pytest.approx(
        reference.matthews_corrcoef(labels, stated)
    )
    assert metrics.macro_f1(labels, stated) == pytest.approx(
        reference.f1_score(labels, stated, average="macro")
    )
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, stated), reference.confusion_matrix(labels, stated)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_probability_measures_agree_with_scikit_learn(seed: int) -> None:
    """Log-loss and the multiclass Brier score are scikit-learn's."""
    labels, probabilities = _draws(seed)
    assert metrics.log_loss(labels, probabilities) == pytest.approx(
        reference.log_loss(labels, probabilities, labels=[0, 1, 2])
    )
    assert metrics.brier_score(labels, probabilities) == pytest.approx(
        reference.brier_score_loss(labels, probabilities, labels=[0, 1, 2], scale_by_half=False)
    )


def test_rank_ic_agrees_with_scipy_and_survives_ties() -> None:
    """Rank IC is Spearman's correlation, ties sharing their mean rank, NaN returns left out."""
    rng = np.random.default_rng(3)
    score = rng.integers(0, 10, 300).astype(float)
    returns = score + rng.normal(0, 5, 300)
    assert metrics.rank_ic(score, returns) == pytest.approx(spearmanr(score, returns).statistic)
    unknown = returns.copy()
    unknown[:50] = np.nan
    assert metrics.rank_ic(score, unknown) == pytest.approx(spearmanr(score[50:], returns[50:]).statistic)
    assert np.isnan(metrics.rank_ic(np.ones(10), np.arange(10.0)))


def test_classes_that_never_occur_do_not_count() -> None:
    """Balanced accuracy and macro-F1 average only over classes that occur, as scikit-learn does."""
    labels, stated = np.array([BUY, BUY, SELL, SELL]), np.array([BUY, SELL, SELL, SELL])
    assert metrics.balanced_accuracy(labels, stated) == pytest.approx(0.75)
    assert metrics.macro_f1(labels, stated) == pytest.approx(
        reference.f1_score(labels, stated, average="macro")
    )
    assert metrics.matthews_correlation(labels, np.full(4, BUY)) == 0.0


def test_the_prior_itself_has_no_skill() -> None:
    """Stating the training shares scores exactly zero skill; knowing the label scores near one."""
    labels, _ = _draws(4)
    prior = metrics.class_shares(labels)
    stated = np.tile(prior, (len(labels), 1))
    assert metrics.log_loss_skill(labels, stated, prior) == pytest.approx(0.0)
    assert metrics.brier_skill(labels, stated, prior) == pytest.approx(0.0)
    assert metrics.log_loss_skill(labels, np.eye(3)[labels], prior) == pytest.approx(1.0)
    assert metrics.brier_skill(labels, np.eye(3)[labels], prior) == pytest.approx(1.0)


def test_calibration_error_of_stated_and_met_frequencies() -> None:
    """A confidence of 0.7 that is right 7 times in 10 has no calibration error; one of 0.9 has 0.2."""
    correct = np.tile(np.arange(10) < 7, 150)
    assert metrics.expected_calibration_error(np.full(1500, 0.7), correct, bins=15) == pytest.approx(0.0)
    assert metrics.expected_calibration_error(np.full(1500, 0.9), correct, bins=15) == pytest.approx(0.2)


def test_reliability_bins_have_equal_mass_and_ascend() -> None:
    """The 15 bins differ by at most one row and their confidence ascends."""
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.5, 1.0, 1007)
    curve = metrics.reliability_curve(confidence, rng.uniform(size=1007) < confidence)
    assert len(curve.count) == 15
    assert curve.count.sum() == 1007
    assert np.ptp(curve.count) <= 1
    assert np.all(np.diff(curve.confidence) > 0)


def test_direction_accuracy_by_hand() -> None:
    """HOLD labels are left out, and the most confident share is what is ranked first."""
    #                          HOLD  BUY  SELL
    probabilities = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.4, 0.5], [0.0, 0.1, 0.9]])
    labels = np.array([BUY, SELL, SELL, HOLD])
    assert metrics.direction_accuracy(labels, probabilities) == pytest.approx(2 / 3)
    # Directional confidences of the three rows: 0.875, 0.75, 0.556; margins 0.6, 0.2, 0.1.
    assert metrics.direction_accuracy(labels, probabilities, share=0.34) == 1.0
    assert metrics.direction_accuracy(labels, probabilities, share=0.67) == pytest.approx(0.5)
    assert metrics.direction_accuracy(labels, probabilities, share=0.34, by="margin") == 1.0


def test_a_constant_confidence_is_judged_on_every_row() -> None:
    """Ties with the last confident row all count: no arbitrary tenth of the rows is picked."""
    labels = np.array([BUY, SELL] * 50)
    probabilities = np.tile([0.2, 0.5, 0.3], (100, 1))
    assert metrics.direction_accuracy(labels, probabilities, share=0.01) == 0.5


def test_coverage_curve_ends_at_the_overall_direction_accuracy() -> None:
    """At full coverage the curve is the direction accuracy; its thresholds descend."""
    labels, probabilities = _draws(6)
    curve = metrics.coverage_accuracy(labels, probabilities)
    assert curve.coverage[-1] == 1.0
    assert curve.accuracy[-1] == pytest.approx(metrics.direction_accuracy(labels, probabilities))
    assert np.all(np.diff(curve.threshold) <= 0)


def test_quantile_coverage_counts_the_returns_inside() -> None:
    """Per horizon, the share of known returns within Q10..Q90; a horizon without any is NaN."""
    quantiles = np.tile(np.array([-1.0, 0.0, 1.0]), (4, 2, 1))
    returns = np.array([[0.0, np.nan], [2.0, np.nan], [-1.0, np.nan], [0.5, np.nan]])
    shares = metrics.quantile_coverage(returns, quantiles)
    assert shares[0] == 0.75
    assert np.isnan(shares[1])


def test_no_rows_give_nan_without_warnings() -> None:
    """Every measure of zero rows is NaN."""
    none, nothing = np.zeros(0, np.int8), np.zeros((0, 3))
    for value in (
        metrics.accuracy(none, none),
        metrics.balanced_accuracy(none, none),
        metrics.matthews_correlation(none, none),
        metrics.macro_f1(none, none),
        metrics.log_loss(none, nothing),
        metrics.brier_score(none, nothing),
        metrics.direction_accuracy(none, nothing),
        metrics.expected_calibration_error(np.zeros(0), none),
        metrics.log_loss_skill(none, nothing, np.array([0.4, 0.3, 0.3])),
    ):
        assert np.isnan(value)
    assert len(metrics.coverage_accuracy(none, nothing).coverage) == 0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 80))
def test_measures_stay_in_range_and_ignore_row_order(seed: int, rows: int) -> None:
    """Shares stay in [0, 1], MCC in [-1, 1], and the order of the rows never matters."""
    labels, probabilities = _draws(seed, rows)
    order = np.random.default_rng(seed).permutation(rows)
    stated = probabilities.argmax(axis=1)
    for measure in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        assert 0 <= measure(labels, stated) <= 1
        assert measure(labels, stated) == pytest.approx(measure(labels[order], stated[order]))
    assert -1 - 1e-12 <= metrics.matthews_correlation(labels, stated) <= 1 + 1e-12
    assert metrics.log_loss(labels, probabilities) == pytest.approx(
        metrics.log_loss(labels[order], probabilities[order])
    )
    swapped = np.array([HOLD, SELL, BUY])
    mirrored = metrics.direction_accuracy(swapped[labels], probabilities[:, swapped])
    assert mirrored == pytest.approx(metrics.direction_accuracy(labels, probabilities), nan_ok=True)
