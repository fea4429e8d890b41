"""Temperature scaling (Guo et al. 2017): one number that makes a classifier's confidence honest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import TrainingError

Floats32 = NDArray[np.float32]

_TINY = 1e-12
"""Probabilities are kept this far from 0 before a logarithm is taken."""

_LOG_RANGE = (np.log(0.05), np.log(20.0))
"""Bounds of the search for log temperature: a model outside them has no usable confidence."""


@dataclass(frozen=True, kw_only=True)
class TemperatureScaling:
    """Divides log probabilities by a temperature; the most probable class never changes."""

    temperature: float = 1.0
    """Above 1 flattens overconfident probabilities, below 1 sharpens underconfident ones."""

    def apply(self, probabilities: Floats32) -> Floats32:
        """Calibrated probabilities.

        Args:
            probabilities: float32 [B, 3], rows sum to 1.

        Returns:
            float32 [B, 3], rows sum to 1.
        """
        return _scaled(_log(probabilities), self.temperature).astype(np.float32)


def fit_temperature(
    probabilities: Floats32, labels: NDArray[np.integer], weights: Floats32 | None = None
) -> TemperatureScaling:
    """The temperature with the least log-loss. Give it validation rows only, never training or test rows.

    Args:
        probabilities: float32 [N, 3], the model's uncalibrated probabilities.
        labels: integers [N], `Action` values.
        weights: float32 [N] sample weights; None weighs every row 1.
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
    return TemperatureScaling(temperature=float(np.exp(best.x)))


def _log(probabilities: Floats32) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))


def _scaled(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    tempered = logits / temperature
    tempered -= tempered.max(axis=1, keepdims=True)
    exponentials = np.exp(tempered)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
