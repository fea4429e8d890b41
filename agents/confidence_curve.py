"""How often the direction is right from a confidence on, and which confidence the evidence speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.block_interval import BlockCounts, count_by_block, share_interval
from quantum_trader.agents.signals import direction, directional_confidence
from quantum_trader.envs.actions import Action

THRESHOLDS = tuple(round(0.5 + 0.01 * step, 2) for step in range(11)) + tuple(
    round(0.65 + 0.05 * step, 2) for step in range(7)
)
"""Directional confidences tried: 0.50, 0.51 ... 0.60, then 0.65, 0.70 ... 0.95."""

LEVEL = 0.95
"""Level of the intervals of the curve, each for itself."""
MINIMUM_COVERAGE = 0.10
"""Smallest share of all rows that a suggested threshold may leave."""
ERROR_RATE = 0.05
"""How often a forecaster that knows nothing may be given a suggestion, all thresholds together."""


@dataclass(frozen=True, kw_only=True)
class ThresholdRow:
    """What happens from a directional confidence on."""

    threshold: float
    """Smallest directional confidence, max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)), that is answered."""
    coverage: float
    """Share of all rows that reach it."""
    rows: int
    """Those of them whose label is not HOLD; on these the direction is judged."""
    accuracy: float | None
    """How often the likelier of BUY and SELL was right on them; None where there is none."""
    low: float | None
    """Lower end of the interval of `accuracy` at `LEVEL`; None where there are too few blocks of time."""
    high: float | None
    """Upper end of it."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A confidence threshold, and why."""

    threshold: float | None
    """Directional confidence; None where the rows give no evidence for any."""
    rule: str
    """The criterion and what it found, in words."""


def confidence_curve(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.float32],
    blocks: NDArray[np.int64],
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[ThresholdRow, ...]:
    """One row a threshold, ascending; thresholds that no row reaches are left out.

    Args:
        labels: integers [N], `Action` values.
        probabilities: float32 [N, 3], calibrated.
        blocks: int64 [N], block of time of each row (see `time_blocks`): the intervals take blocks, not rows,
            for independent.
        thresholds: ascending directional confidences.
    """
    confidence = directional_confidence(probabilities)
    found = []
    for threshold in thresholds:
        reached = confidence >= threshold
        if reached.any():
            counts = _directions(labels, probabilities, blocks, reached)
            ends = share_interval(counts, LEVEL)
            found.append(
                ThresholdRow(
                    threshold=threshold,
                    coverage=float(reached.mean()),
                    rows=int(counts.rows.sum()),
                    accuracy=counts.share if len(counts.rows) else None,
                    low=None if ends is None else ends[0],
                    high=None if ends is None else ends[1],
                )
            )
    return tuple(found)


def suggest_threshold(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.float32],
    blocks: NDArray[np.int64],
    thresholds: Sequence[float] = THRESHOLDS,
    minimum_coverage: float = MINIMUM_COVERAGE,
) -> Suggestion:
    """The threshold from which on the direction is most surely right, if it surely is right at all.

    Among the thresholds that at least `minimum_coverage` of all rows reach it is the one with the highest
    lower bound of direction accuracy, and there is none unless that bound lies above 0.5. The bounds are
    one-sided and hold for all those thresholds at once (Bonferroni), because the best of several looks better
    than it is. Arguments as for `confidence_curve`.
    """
    confidence = directional_confidence(probabilities)
    shares = [float(np.mean(confidence >= threshold)) for threshold in thresholds]
    tried = [
        (threshold, share)
        for threshold, share in zip(thresholds, shares, strict=True)
        if share >= minimum_coverage
    ]
    criterion = (
        f"lower bound of direction accuracy above 50 % at a coverage of at least {minimum_coverage:.0%}, "
        f"for {len(tried)} thresholds at once with {ERROR_RATE:.0%} error"
    )
    # The lower end of a two-sided interval at 1 - 2a is a one-sided bound at 1 - a.
    level = 1.0 - 2.0 * ERROR_RATE / max(len(tried), 1)
    best: tuple[float, float, float] | None = None
    for threshold, share in tried:
        ends = share_interval(_directions(labels, probabilities, blocks, confidence >= threshold), level)
        if ends is not None and ends[0] > 0.5 and (best is None or ends[0] > best[0]):
            best = (ends[0], threshold, share)
    if best is None:
        return Suggestion(threshold=None, rule=f"no threshold meets the criterion ({criterion})")
    low, threshold, share = best
    rule = f"the highest {criterion}: {low:.1%} at {share:.0%} of the rows"
    return Suggestion(threshold=threshold, rule=rule)


def _directions(
    labels: NDArray[np.integer],
    probabilities: NDArray[np.float32],
    blocks: NDArray[np.int64],
    chosen: NDArray[np.bool_],
) -> BlockCounts:
    """Right directions by block, on the chosen rows whose label is not HOLD."""
    rows = np.flatnonzero(chosen & (labels != Action.HOLD))
    return count_by_block(direction(probabilities[rows]) == labels[rows], blocks[rows])
