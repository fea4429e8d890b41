"""Log-opinion pool: several probability forecasts combined into one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SMALLEST_PROBABILITY = 1e-6
"""Probabilities are floored here, so that one member's zero cannot veto the others for ever."""


def log_opinion_pool(
    members: Sequence[NDArray[np.float32]],
    weights: Sequence[float],
    bias: Sequence[float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float32]:
    """Weighted geometric mean of forecasts, renormalised: p_k proportional to exp(b_k) * prod_i p_ik ** w_i.

    Source: Genest & Zidek 1986, "Combining probability distributions", Statistical Science 1(1).

    Args:
        members: one float32 [B, 3] per member.
        weights: one weight >= 0 per member.
        bias: added to each class's log-probability.

    Returns:
        float32 [B, 3]; a row with a NaN in any member is NaN.
    """
    logits = np.asarray(bias, dtype=np.float64)[None, :]
    for probabilities, weight in zip(members, weights, strict=True):
        clipped = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1.0)
        logits = logits + weight * np.log(clipped)
    logits = logits - logits.max(axis=1, keepdims=True)
    pooled = np.exp(logits)
    return np.asarray(pooled / pooled.sum(axis=1, keepdims=True), dtype=np.float32)
