"""How long the blocks of a bootstrap have to be for the dependence of a series to stay within them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FEWEST_ROWS = 16
"""Rows below which nothing is estimated: there are fewer than the autocorrelations that are looked at."""


def block_length(values: Floats, *, shortest: float) -> float:
    """Mean block of the stationary bootstrap that suits a series.

    The length that minimises the error of the variance of the mean (Politis & White 2004, corrected by
    Patton, Politis & White 2009), but at least `shortest` and at most a quarter of the series: with
    fewer than four blocks resamples hardly differ.

    Args:
        values: float64 [n], e.g. returns of a bar or mean losses of a moment, in order.
        shortest: rows a block has at least, e.g. twice the label's length.

    Returns:
        Rows, at least 1; `shortest`, still at most a quarter of the series, where that is too short or never
        varies.
    """
    longest = max(len(values) / 4, 1.0)
    wanted = max(shortest, 1.0)
    if len(values) >= _FEWEST_ROWS and np.ptp(values) > 0:
        # Loads statsmodels, which takes a second that only a judgement should pay.
        from arch.bootstrap import optimal_block_length

        # Stretches without variance divide by zero, which counts as no autocorrelation there.
        with np.errstate(all="ignore"):
            optimal = float(optimal_block_length(values)["stationary"].iloc[0])
        wanted = max(wanted, optimal) if np.isfinite(optimal) else wanted
    return min(wanted, longest)
