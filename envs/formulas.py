"""The arithmetic of the features, written once for floats (streaming) and for arrays (batch).

Python floats and float64 arrays follow the same IEEE 754 rules for + - * / and comparisons, and both branches
take the logarithm from NumPy, so a formula gives the same bits bar by bar as over the whole series.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", float, NDArray[np.float64])
"""One number or one number per bar, float64 [T]."""

VOLUME_RATIO_FLOOR = 1e-3
"""A bar with less than a thousandth of the average volume counts as that much: ln of it is -6.9, not -inf."""
FLAT_BAND = 1e-6
"""A Bollinger band narrower than this share of its middle is rounding noise: the market did not move."""
STATIC_CLIP = 5.0
"""Static numbers are clipped to +-this."""


def ln(value: Value) -> Value:
    """Natural logarithm of a positive value (or NaN)."""
    if isinstance(value, float):
        return float(np.log(value))
    return np.asarray(np.log(value))


def ratio_or(numerator: Value, denominator: Value, fallback: float) -> Value:
    """`numerator / denominator`, and `fallback` where the denominator is zero or negative; NaN stays NaN."""
    if isinstance(denominator, float):
        return fallback if denominator <= 0.0 else numerator / denominator
    degenerate = denominator <= 0.0
    return np.where(degenerate, fallback, numerator / np.where(degenerate, 1.0, denominator))


def clip(value: Value, low: float, high: float) -> Value:
    """`value` within [low, high]; NaN stays NaN."""
    if isinstance(value, float):
        return low if value < low else high if value > high else value
    return np.where(value < low, low, np.where(value > high, high, value))


def zero_if_unknown(value: Value) -> Value:
    """0 in place of NaN."""
    if isinstance(value, float):
        return value if value == value else 0.0
    return np.where(np.isnan(value), 0.0, value)


def relative_gap(value: Value, average: Value) -> Value:
    """How far `value` lies above `average`, as a fraction of it."""
    return value / average - 1.0


def close_location(high: Value, low: Value, close: Value) -> Value:
    """0 where the bar closes at its low, 1 at its high, 0.5 where it did not move."""
    return ratio_or(close - low, high - low, 0.5)


def volume_ratio(volume: Value, average: Value) -> Value:
    """ln(volume / average), bounded below by `VOLUME_RATIO_FLOOR`; 0 where nothing was traded for long."""
    return ln(clip(ratio_or(volume, average, 1.0), VOLUME_RATIO_FLOOR, float("inf")))


def percent_b(close: Value, upper: Value, middle: Value, lower: Value) -> Value:
    """0 at the lower Bollinger band, 1 at the upper, 0.5 where the band has no width."""
    width = upper - lower
    noise = middle * FLAT_BAND
    # A negative width marks the flat band for `ratio_or`, without a second branch for arrays.
    if isinstance(width, float):
        return ratio_or(close - lower, -1.0 if width < noise else width, 0.5)
    return ratio_or(close - lower, np.where(width < noise, -1.0, width), 0.5)
