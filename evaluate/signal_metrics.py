"""How good BUY/SELL/HOLD probabilities are: pure functions on arrays, one measure each, no trading involved.

Shapes used throughout: `labels` and `decisions` are integer [N] with the numbers of `Action`, `probabilities`
is float [N, 3] with the columns of `Action` and rows that sum to 1. Rows without a label are left out by the
caller. Every measure of zero rows is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import (
    direction as direction,
    directional_confidence as directional_confidence,
)
from quantum_trader.envs.actions import Action

Floats = NDArray[np.float64]
Array = NDArray[Any]

CLASSES = len(Action)
CALIBRATION_BINS = 15
Ranking = Literal["confidence", "margin"]


@dataclass(frozen=True, kw_only=True)
class ReliabilityCurve:
    """Stated against observed frequency in bins of equal mass, least confident first.

    Attributes:
        confidence: float64 [B], mean stated confidence of the bin.
        accuracy: float64 [B], share of the bin that came true.
        count: int64 [B], rows in the bin.
    """

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


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
    """1 - log-loss / log-loss of always stating `prior` (float64 [3]); above 0 beats it, 1 is perfect."""
    return _skill(log_loss(labels, probabilities), log_loss(labels, _stated(prior, len(labels))))


def brier_skill(labels: Array, probabilities: Array, prior: Floats) -> float:
    """1 - Brier score / Brier score of always stating `prior` (float64 [3])."""
    return _skill(brier_score(labels, probabilities), brier_score(labels, _stated(prior, len(labels))))


def reliability_curve(confidence: Array, correct: Array, bins: int = CALIBRATION_BINS) -> ReliabilityCurve:
    """Stated confidence against the share that came true, in `bins` bins of (nearly) equal mass.

    Args:
        confidence: float [N], stated probability of being right.
        correct: bool [N], whether the row was right.
        bins: number of bins; fewer come back when there are fewer rows.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return ReliabilityCurve(
        confidence=np.array([_mean(confidence[part]) for part in parts]),
        accuracy=np.array([_mean(correct[part]) for part in parts]),
        count=np.array([len(part) for part in parts], dtype=np.int64),
    )


def expected_calibration_error(confidence: Array, correct: Array, bins: int = CALIBRATION_BINS) -> float:
    """Mean gap between stated and observed frequency over equal-mass bins (Nixon et al. 2019), in [0, 1]."""
    if len(confidence) == 0:
        return float("nan")
    curve = reliability_curve(confidence, correct, bins)
    return float(np.average(np.abs(curve.confidence - curve.accuracy), weights=curve.count))


def direction_margin(probabilities: Array) -> Floats:
    """float64 [N]: P(BUY) - P(SELL), the score that rank IC and the margin ranking use."""
    return probabilities[:, Action.BUY].astype(np.float64) - probabilities[:, Action.SELL]


def direction_accuracy(
    labels: Array, probabilities: Array, *, share: float = 1.0, by: Ranking = "confidence"
) -> float:
    """How often the likelier of BUY and SELL is right, on the rows whose label is not HOLD.

    Args:
        share: only this share of those rows, the most confident; ties with the last one count as well, so
            that an agent with one constant confidence is judged on all rows rather than on arbitrary ones.
        by: rank by directional confidence, or by |P(BUY) - P(SELL)|, which also asks that HOLD be unlikely.
    """
    correct, confidence = _directional_rows(labels, probabilities, by)
    if len(correct) == 0:
        return float("nan")
    wanted = max(1, round(share * len(correct)))
    cut = np.partition(confidence, len(confidence) - wanted)[len(confidence) - wanted]
    return _mean(correct[confidence >= cut])


def coverage_accuracy(
    labels: Array, probabilities: Array, *, points: int = 100, by: Ranking = "confidence"
) -> CoverageCurve:
    """Direction accuracy on the most confident 1/points, 2/points, ... of the rows not labelled HOLD."""
    correct, confidence = _directional_rows(labels, probabilities, by)
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


def quantile_coverage(returns: Array, quantiles: Array) -> Floats:
    """float64 [H]: share of forward returns within Q10..Q90, nominally 0.8; rows with a NaN are left out.

    Args:
        returns: float [N, H], forward log returns.
        quantiles: float [N, H, 3], Q10, Q50, Q90.
    """
    known = np.isfinite(returns) & np.isfinite(quantiles).all(axis=2)
    inside = known & (returns >= quantiles[:, :, 0]) & (returns <= quantiles[:, :, 2])
    counts = known.sum(axis=0)
    shares: Floats = np.divide(
        inside.sum(axis=0), counts, out=np.full(returns.shape[1], np.nan), where=counts > 0
    )
    return shares


def _directional_rows(labels: Array, probabilities: Array, by: Ranking) -> tuple[Array, Floats]:
    """Whether the direction was right, and how confident it was, on the rows whose label is not HOLD."""
    rows = labels != Action.HOLD
    moved = probabilities[rows]
    confidence = directional_confidence(moved) if by == "confidence" else np.abs(direction_margin(moved))
    return direction(moved) == labels[rows], confidence


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
