"""Calibration: temperature scaling (Guo et al. 2017), and the P(HOLD) from which a signal is HOLD."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError

Floats32 = NDArray[np.float32]

_TINY = 1e-12
"""Probabilities are kept this far from 0 before a logarithm is taken."""

_LOG_RANGE = (np.log(0.05), np.log(20.0))
"""Bounds of the search for log temperature: a model outside them has no usable confidence."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What validation rows taught about reading a model's probabilities."""

    temperature: float = 1.0
    """Divides log probabilities: above 1 flattens overconfident ones, below 1 sharpens underconfident ones.
    The most probable class never changes."""
    hold_threshold: float = 0.5
    """Calibrated P(HOLD) from which on the model's signal is HOLD: reached as often as HOLD is the label."""

    def apply(self, probabilities: Floats32) -> Floats32:
        """Calibrated probabilities.

        Args:
            probabilities: float32 [B, 3], rows sum to 1.

        Returns:
            float32 [B, 3], rows sum to 1.
        """
        return _scaled(_log(probabilities), self.temperature).astype(np.float32)


def fit_calibration(
    probabilities: Floats32,
    labels: NDArray[np.integer],
    *,
    hold_share: float,
    weights: Floats32 | None = None,
) -> Calibration:
    """The temperature with the least log-loss, and the hold threshold that goes with it.

    Args:
        probabilities: float32 [N, 3], the model's uncalibrated probabilities on VALIDATION rows, never on
            training or test rows.
        labels: integers [N], `Action` values.
        hold_share: share of rows to be answered with HOLD: that of HOLD among the training labels.
        weights: float32 [N] sample weights of the log-loss; None weighs every row 1.
    """
    found = Calibration(temperature=fit_temperature(probabilities, labels, weights))
    return replace(found, hold_threshold=fit_hold_threshold(found.apply(probabilities), hold_share))


def fit_temperature(
    probabilities: Floats32, labels: NDArray[np.integer], weights: Floats32 | None = None
) -> float:
    """The temperature with the least log-loss; arguments as for `fit_calibration`.

    Raises:
        TrainingError: there are no rows.
    """
    if len(labels) == 0:
        raise TrainingError("Calibration needs validation rows, found none: widen the validation range.")
    from scipy.optimize import minimize_scalar

    logits = _log(probabilities)
    rows = np.arange(len(labels))
    shares = np.ones(len(labels)) if weights is None else weights.astype(np.float64)

    def loss(log_temperature: float) -> float:
        chosen = _scaled(logits, float(np.exp(log_temperature)))[rows, labels]
        return float(-np.average(np.log(np.maximum(chosen, _TINY)), weights=shares))

    best = minimize_scalar(loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


def fit_hold_threshold(probabilities: Floats32, hold_share: float) -> float:
    """P(HOLD) that the given share of rows reaches: HOLD is then said about as often as it is right.

    Without it, a forecaster that knows little says its most frequent class for ever.

    Args:
        probabilities: float32 [N, 3] of validation rows.
        hold_share: wanted share of HOLD.
    """
    return float(np.quantile(probabilities[:, Action.HOLD], 1.0 - hold_share))


def _log(probabilities: Floats32) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))


def _scaled(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    tempered = logits / temperature
    tempered -= tempered.max(axis=1, keepdims=True)
    exponentials = np.exp(tempered)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
