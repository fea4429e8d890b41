"""How good BUY/SELL/HOLD probabilities are: pure functions on arrays, one measure each, no trading involved.

Shapes used throughout: `labels` and `decisions` are integer [N] with the numbers of `Action`, `probabilities`
is float [N, 3] with the columns of `Action` and rows that sum to 1. Rows without a label are left out by the
caller. Every measure of zero rows is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.measures import (
    Ranking as Ranking,
    ReliabilityCurve as ReliabilityCurve,
    direction_accuracy as direction_accuracy,
    direction_margin as direction_margin,
    directional_rows as directional_rows,
    expected_calibration_error as expected_calibration_error,
    quantile_coverage as quantile_coverage,
    reliability_curve as reliability_curve,
)
from quantum_trader.agents.signals import (
    direction as direction,
    directional_confidence as directional_confidence,
)
from quantum_trader.envs.actions import Action

Floats = NDArray[np.float64]
Array = NDArray[Any]

CLASSES = len(Action)


@dataclass(frozen=True, kw_only=True)
class CoverageCurve:
    """Direction accuracy when only the most confident rows are answered.

    Attributes:
        coverage: float64 [C], share of the rows answered, ascending.
        accuracy: float64 [C], direction accuracy on them.
        threshold: float64 [C], smallest confidence among them.
    """

    coverage: Floats
    accuracy: Floats
    threshold: Floats


def confusion_matrix(labels: Array, decisions: Array) -> NDArray[np.int64]:
    """int64 [3, 3]: rows are labels, columns are decisions, both in the order of `Action`."""
    cells = labels.astype(np.int64) * CLASSES + decisions.astype(np.int64)
    return np.bincount(cells, minlength=CLASSES * CLASSES).reshape(CLASSES, CLASSES)


def accuracy(labels: Array, decisions: Array) -> float:
    """Share of rows whose decision is the label."""
    return _mean(labels == decisions)


def balanced_accuracy(labels: Array, decisions: Array) -> float:
    """Mean recall of the classes that occur among the labels (Brodersen et al. 2010)."""
    matrix = confusion_matrix(labels, decisions)
    occurring = matrix.sum(axis=1)
    present = occurring > 0
    return _mean(matrix.diagonal()[present] / occurring[present])


def matthews_correlation(labels: Array, decisions: Array) -> float:
    """Multiclass Matthews correlation, Gorodkin (2004) R_K, in [-1, 1]; 0 where either side is constant."""
    if len(labels) == 0:
        return float("nan")
    matrix = confusion_matrix(labels, decisions).astype(np.float64)
    actual, stated, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    covariance = matrix.trace() * total - actual @ stated
    spread = (total**2 - actual @ actual) * (total**2 - stated @ stated)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def macro_f1(labels: Array, decisions: Array) -> float:
    """Unweighted mean F1 of the classes that occur among labels or decisions."""
    matrix = confusion_matrix(labels, decisions).astype(np.float64)
    sizes = matrix.sum(axis=1) + matrix.sum(axis=0)
    present = sizes > 0
    return _mean(2 * matrix.diagonal()[present] / sizes[present])


def log_loss(labels: Array, probabilities: Array) -> float:
    """Mean negative log probability of the label, in nats; probabilities are clipped at float64 epsilon."""
    return _mean(log_losses(labels, probabilities))


def log_losses(labels: Array, probabilities: Array) -> Floats:
    """float64 [N]: the log-loss of each row, for paired comparisons."""
    chosen = probabilities[np.arange(len(labels)), labels.astype(np.int64)].astype(np.float64)
    losses: Floats = -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0))
    return losses


def brier_score(labels: Array, probabilities: Array) -> float:
    """Mean squared distance to the one-hot label, summed over the classes (Brier 1950), in [0, 2]."""
    truth = np.eye(CLASSES)[labels.astype(np.int64)]
    return _mean(((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1))


def class_shares(labels: Array) -> Floats:
    """float64 [3]: share of each class; of the TRAINING labels this is the prior of the skill scores."""
    return np.bincount(labels.astype(np.int64), minlength=CLASSES)[:CLASSES] / max(len(labels), 1)


def log_loss_skill(labels: Array, probabilities: Array, prior: Floats) -> float:
    """1 - log-loss / log-loss of stating `prior` (float64 [3] or [N, 3]); above 0 beats it."""
    return _skill(log_loss(labels, probabilities), log_loss(labels, _stated(prior, len(labels))))


def brier_skill(labels: Array, probabilities: Array, prior: Floats) -> float:
    """1 - Brier score / Brier score of stating `prior` (float64 [3] or [N, 3])."""
    return _skill(brier_score(labels, probabilities), brier_score(labels, _stated(prior, len(labels))))


def coverage_accuracy(
    labels: Array, probabilities: Array, *, points: int = 100, by: Ranking = "confidence"
) -> CoverageCurve:
    """Direction accuracy on the most confident 1/points, 2/points, ... of the rows not labelled HOLD."""
    correct, confidence = directional_rows(labels, probabilities, by)
    order = np.argsort(-confidence, kind="stable")
    sizes = np.unique(np.ceil(len(order) * np.arange(1, points + 1) / points).astype(np.int64))
    sizes = sizes[sizes > 0]
    right = np.cumsum(correct[order])
    return CoverageCurve(
        coverage=sizes / max(len(order), 1),
        accuracy=right[sizes - 1] / sizes,
        threshold=confidence[order][sizes - 1],
    )


def rank_ic(score: Array, forward_return: Array) -> float:
    """Spearman correlation of a score with the return that followed; NaN where either side is constant.

    Args:
        score: float [N], e.g. `direction_margin`.
        forward_return: float [N], log return over one horizon; rows where it is NaN are left out.
    """
    known = np.isfinite(forward_return) & np.isfinite(score)
    if known.sum() < 2:
        return float("nan")
    left, right = _ranks(score[known]), _ranks(forward_return[known])
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / spread if spread > 0 else float("nan")


def _ranks(values: Array) -> Floats:
    """Ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def _stated(prior: Floats, rows: int) -> Floats:
    return np.broadcast_to(np.asarray(prior, dtype=np.float64), (rows, CLASSES))


def _skill(score: float, reference: float) -> float:
    return 1.0 - score / reference if reference > 0 else float("nan")


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
