"""`ReturnScale`: the volatility that forward returns are measured in: quiet and wild markets look alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import FeatureScaler

Floats32 = NDArray[np.float32]

_FEATURE = FEATURE_NAMES.index("atr_14")
_SMALLEST_SHARE = 0.05
"""The unit never falls below this share of the median ATR: a scaled ATR may come out at or below zero."""


@dataclass(frozen=True, kw_only=True)
class ReturnScale:
    """Unit of a forward return: ATR14 / close of the window's last bar, times a factor per horizon."""

    center: float
    """Median of ATR14 / close over the training rows."""
    scale: float
    """What one unit of the scaled feature stands for."""
    horizon: tuple[float, ...]
    """Per horizon: deviation of forward returns in units of ATR14 / close, over the training rows."""

    def of(self, windows: Floats32) -> Floats32:
        """The unit of each row and horizon.

        Args:
            windows: float32 [B, 60, 14], scaled features.

        Returns:
            float32 [B, H], log return per unit, > 0; NaN where the window's last ATR is NaN.
        """
        ranges = _ranges(windows[:, -1, _FEATURE], self.center, self.scale)
        return (ranges[:, None] * np.asarray(self.horizon, dtype=np.float64)).astype(np.float32)


def fit_return_scale(last: Floats32, returns: Floats32, scaler: FeatureScaler) -> ReturnScale:
    """Fit the factor of each horizon.

    Args:
        last: float32 [N, 14], the newest bar of each training window, scaled.
        returns: float32 [N, H], forward log returns; NaN where unknown.
        scaler: what the features were scaled with.
    """
    center, scale = scaler.center[_FEATURE], scaler.scale[_FEATURE]
    units = returns.astype(np.float64) / _ranges(last[:, _FEATURE], center, scale)[:, None]
    known = np.isfinite(units)
    counts = np.maximum(known.sum(axis=0), 1)
    spread = np.sqrt(np.where(known, units**2, 0.0).sum(axis=0) / counts)
    horizon = tuple(float(value) if value > 0.0 else 1.0 for value in spread)
    return ReturnScale(center=center, scale=scale, horizon=horizon)


def _ranges(scaled: Floats32, center: float, scale: float) -> NDArray[np.float64]:
    ranges = center + scale * scaled.astype(np.float64)
    return np.maximum(ranges, _SMALLEST_SHARE * max(center, scale))
