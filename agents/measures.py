"""Measures of BUY/SELL/HOLD probabilities that fitting and evaluation share: pure functions on arrays.

Shapes: `labels` is integer [N] with the numbers of `Action`, `probabilities` is float [N, 3] with the columns
of `Action` and rows that sum to 1. Every measure of zero rows is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import direction, directional_confidence
from quantum_trader.envs.actions import Action

Floats = NDArray[np.float64]
Array = NDArray[Any]

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


def calibration_noise(confidence: Array, bins: int = CALIBRATION_BINS) -> float:
    """The calibration error that a perfectly calibrated forecaster shows on as many independent rows.

    The share of a bin that comes true scatters about the stated one with variance p (1 - p) / n even where
    every p is right, and the error adds up its absolute value: sqrt(2 / pi) of the deviation on average.
    Rows with overlapping labels are worth fewer, so that the real floor is higher.

    Args:
        confidence: float [N], stated probability of being right.
        bins: number of bins of equal mass.
    """
    if len(confidence) == 0:
        return float("nan")
    parts = [part for part in np.array_split(np.sort(confidence).astype(np.float64), bins) if len(part)]
    deviations = [np.sqrt(np.mean(part * (1.0 - part)) / len(part)) for part in parts]
    return float(np.sqrt(2.0 / np.pi) * np.average(deviations, weights=[len(part) for part in parts]))


def direction_margin(probabilities: Array) -> Floats:
    """float64 [N]: P(BUY) - P(SELL), the score that rank IC and the margin ranking use."""
    return probabilities[:, Action.BUY].astype(np.float64) - probabilities[:, Action.SELL]


def directional_rows(
    labels: Array, probabilities: Array, by: Ranking = "confidence"
) -> tuple[NDArray[np.bool_], Floats]:
    """On the M rows whose label is not HOLD: bool [M] whether the likelier of BUY and SELL was right, and
    float64 [M] how confident it was, by directional confidence or by |P(BUY) - P(SELL)|."""
    rows = labels != Action.HOLD
    moved = probabilities[rows]
    confidence = directional_confidence(moved) if by == "confidence" else np.abs(direction_margin(moved))
    return direction(moved) == labels[rows], confidence


def direction_accuracy(
    labels: Array, probabilities: Array, *, share: float = 1.0, by: Ranking = "confidence"
) -> float:
    """How often the likelier of BUY and SELL is right, on the rows whose label is not HOLD.

    Args:
        share: only this share of those rows, the most confident; ties with the last one count as well, so
            that an agent with one constant confidence is judged on all rows rather than on arbitrary ones.
        by: rank by directional confidence, or by |P(BUY) - P(SELL)|, which also asks that HOLD be unlikely.
    """
    correct, confidence = directional_rows(labels, probabilities, by)
    if len(correct) == 0:
        return float("nan")
    wanted = max(1, round(share * len(correct)))
    cut = np.partition(confidence, len(confidence) - wanted)[len(confidence) - wanted]
    return _mean(correct[confidence >= cut])


def quantile_coverage(returns: Array, quantiles: Array) -> Floats:
    """float64 [H]: share of forward returns within the outermost quantiles; rows with a NaN are left out.

    Args:
        returns: float [N, H], forward log returns.
        quantiles: float [N, H, Q], ascending; with Q10, Q50, Q90 the coverage is nominally 0.8.
    """
    known = np.isfinite(returns) & np.isfinite(quantiles).all(axis=2)
    inside = known & (returns >= quantiles[:, :, 0]) & (returns <= quantiles[:, :, -1])
    counts = known.sum(axis=0)
    shares: Floats = np.divide(
        inside.sum(axis=0), counts, out=np.full(returns.shape[1], np.nan), where=counts > 0
    )
    return shares


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
