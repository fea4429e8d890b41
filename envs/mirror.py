"""The mirrored market: what observations look like where every price p is c / p.

A rise becomes a fall of the same size, and nothing else changes: a long position in the one market is a short
one in the other. What a learner takes for the drift of the years it saw, it cannot learn from both markets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.context import STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import FeatureScaler

Floats32 = NDArray[np.float32]

_REFLECTED = {
    "log_return": 0.0,
    "close_location": 1.0,
    "ema_10_gap": 0.0,
    "ema_50_gap": 0.0,
    "ema_200_gap": 0.0,
    "rsi_14": 1.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "bollinger_percent_b": 1.0,
    "funding_rate": 0.0,
}
"""Features x that become a - x, and their a. Exact for returns and RSI; for gaps, MACD and bands up to terms
of second order in the move. Ranges, volumes and volatilities stay what they are."""
_REFLECTED_STATIC = ("trend_regime",)


class Mirror:
    """Mirrors scaled windows and context vectors.

    Args:
        scaler: what the windows were scaled with.
    """

    def __init__(self, scaler: FeatureScaler) -> None:
        center = np.asarray(scaler.center, dtype=np.float64)
        scale = np.asarray(scaler.scale, dtype=np.float64)
        reflected = np.array([name in _REFLECTED for name in FEATURE_NAMES])
        total = np.array([_REFLECTED.get(name, 0.0) for name in FEATURE_NAMES])
        self._sign = np.where(reflected, -1.0, 1.0).astype(np.float32)
        self._shift = np.where(reflected, (total - 2.0 * center) / scale, 0.0).astype(np.float32)
        self._clip = scaler.clip
        self._static = [STATIC_NAMES.index(name) for name in _REFLECTED_STATIC]

    def windows(self, windows: Floats32) -> Floats32:
        """float32 [B, 60, 14], scaled -> the mirrored market's, a fresh array."""
        mirrored = windows * self._sign
        mirrored += self._shift
        np.clip(mirrored, -self._clip, self._clip, out=mirrored)
        return mirrored

    def context(self, context: Floats32) -> Floats32:
        """float32 [B, C] -> the mirrored market's, a fresh array; the calendar is the same."""
        mirrored = context.copy()
        mirrored[:, self._static] *= -1.0
        return mirrored
