"""Log-opinion pool: several probability forecasts combined into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings

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


def forecast(votes: Mapping[str, NDArray[np.float32]], trees_share: float) -> NDArray[np.float32]:
    """float32 [B, 3]: what TFT and XGBoost expect together; the TFT alone where `votes` lack the other."""
    if "xgboost" not in votes or trees_share == 0.0:
        return votes["tft"]
    return log_opinion_pool((votes["tft"], votes["xgboost"]), (1.0 - trees_share, trees_share))


def pooled(votes: Mapping[str, NDArray[np.float32]], settings: ArbiterSettings) -> NDArray[np.float32]:
    """float32 [B, 3]: the votes of all members of `settings.pool` as one forecast, biased for its gate."""
    expected = forecast({name: votes[name] for name in settings.pool}, settings.trees_share)
    members, weights = [expected], [settings.forecast_weight]
    if "ppo" in settings.pool:
        members, weights = [*members, votes["ppo"]], [*weights, settings.ppo_weight]
    return log_opinion_pool(members, weights, settings.primary.bias)
