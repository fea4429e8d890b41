"""The clipped robust z-score that turns raw features into what models see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import DataError

Floats32 = NDArray[np.float32]

_IQR_OF_NORMAL = 1.349
_SMALLEST_SHARE_OF_REFERENCE = 0.01


@dataclass(frozen=True, kw_only=True)
class FeatureScaler:
    """`clip((x - center) / scale, -clip, clip)` per feature; NaN becomes 0, the neutral value."""

    center: tuple[float, ...]
    """Per feature: what maps to 0 (the median of the training rows)."""
    scale: tuple[float, ...]
    """Per feature: what maps to 1 (interquartile range / 1.349, a standard deviation for normal data)."""
    clip: float = 5.0
    """Largest magnitude that comes out; raising it lets more of the tails through."""

    def transform(self, features: Floats32) -> Floats32:
        """Scaled copy of `features`, float32 [..., 14] -> float32 [..., 14], without NaN."""
        scaled = features - np.asarray(self.center, dtype=np.float32)
        scaled /= np.asarray(self.scale, dtype=np.float32)
        np.clip(scaled, -self.clip, self.clip, out=scaled)
        np.nan_to_num(scaled, copy=False, nan=0.0)
        return scaled


REFERENCE_SCALER = FeatureScaler(
    # In the order of FEATURE_NAMES.
    center=(0.0, 0.0035, 0.5, -0.13, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.014, 0.004, 0.0),
    scale=(0.002, 0.003, 0.38, 0.6, 0.003, 0.008, 0.017, 0.12, 0.0025, 0.0025, 0.39, 0.012, 0.0025, 0.0001),
    clip=10.0,
)
"""Fixed constants for hourly bars, so that an environment without a fitted scaler looks at no future row.

They lie, as rounded geometric means, between a major currency pair (robust deviation of an hourly return
about 0.0006) and cryptocurrencies (about 0.006); the clip is twice a fitted scaler's because both lie off
that middle.
"""


def fit_scaler(tables: Sequence[Floats32], clip: float = 5.0) -> FeatureScaler:
    """Robust centre and scale over all rows of `tables`: pass training rows only.

    A feature that hardly varies in them (funding where none exists) keeps the reference scale, so that its
    first real value later is not blown up to the clip.

    Args:
        tables: raw features, float32 [N_i, 14] each; NaN are left out.
        clip: largest magnitude of a scaled value.

    Raises:
        DataError: a feature has no finite value.
    """
    center, scale = [], []
    for column, reference in enumerate(REFERENCE_SCALER.scale):
        values = np.concatenate([table[:, column] for table in tables]) if tables else np.empty(0, np.float32)
        values = values[np.isfinite(values)]
        if not len(values):
            raise DataError(
                f"The rows to fit a scaler on hold no finite value of feature {column}; "
                "give more than 199 bars of history before and inside the training range."
            )
        low, middle, high = np.percentile(values.astype(np.float64), [25, 50, 75])
        spread = float(high - low) / _IQR_OF_NORMAL
        center.append(float(middle))
        scale.append(spread if spread > _SMALLEST_SHARE_OF_REFERENCE * reference else reference)
    return FeatureScaler(center=tuple(center), scale=tuple(scale), clip=clip)
