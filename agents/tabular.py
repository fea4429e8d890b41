"""Windows as rows of summary numbers, for models that take a table: trees and the logistic regression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.context import CALENDAR_NAMES, STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.windows import WINDOW

Floats32 = NDArray[np.float32]

LAGS: tuple[int, ...] = (0, 1, 2, 3, 5, 11, 23)
"""Bars before the decision bar whose values are taken as they are; 0 is the decision bar itself."""

SPANS: tuple[int, ...] = (5, 20, 60)
"""Lengths of the means, in bars up to the decision bar."""

DEVIATIONS: tuple[int, ...] = (20, 60)
"""Lengths of the standard deviations and slopes."""

_CHUNK = 512
"""Windows that are worked on at once: more would not stay in the caches."""
_CONTEXT = len(STATIC_NAMES) + len(CALENDAR_NAMES)


def _linear_weights() -> Floats32:
    """float32 [L, 60]: lags, means and slopes are all weighted sums over the window's bars."""
    lags = [np.eye(WINDOW)[WINDOW - 1 - lag] for lag in LAGS]
    means = [np.where(np.arange(WINDOW) >= WINDOW - span, 1.0 / span, 0.0) for span in SPANS]
    return np.asarray([*lags, *means, *(_slope(span) for span in DEVIATIONS)], dtype=np.float32)


def _slope(span: int) -> NDArray[np.float64]:
    """The change along the least-squares line through the last `span` bars, in units of the feature."""
    steps = np.arange(span) - (span - 1) / 2
    return np.concatenate([np.zeros(WINDOW - span), steps / np.square(steps).sum() * span])


_LINEAR = _linear_weights()
_STATISTICS: tuple[str, ...] = (
    *(f"lag_{lag}" for lag in LAGS),
    *(f"mean_{span}" for span in SPANS),
    *(f"slope_{span}" for span in DEVIATIONS),
    *(f"std_{span}" for span in DEVIATIONS),
    "min_60",
    "max_60",
)

CONTEXT_NAMES: tuple[str, ...] = (
    *STATIC_NAMES,
    *CALENDAR_NAMES,
)
"""The context's columns: static numbers and the calendar of the next bar, which implies the later ones."""

TABULAR_NAMES: tuple[str, ...] = (
    *(f"{feature}__{statistic}" for statistic in _STATISTICS for feature in FEATURE_NAMES),
    *CONTEXT_NAMES,
)
"""Names of the columns, e.g. "rsi_14__mean_20"; after the window's statistics comes the context."""

TABULAR_SIZE = len(TABULAR_NAMES)


def tabular(inputs: ModelInputs) -> Floats32:
    """Summary numbers of each observation.

    A row depends on its own window only, to the last bit: alone it equals itself in a batch of many.

    Returns:
        float32 [B, TABULAR_SIZE], columns as `TABULAR_NAMES`.
    """
    table = np.empty((len(inputs), TABULAR_SIZE), dtype=np.float32)
    for start in range(0, len(inputs), _CHUNK):
        part = slice(start, start + _CHUNK)
        _fill(inputs.windows[part], table[part, :-_CONTEXT])
    table[:, -_CONTEXT:] = inputs.context[:, :_CONTEXT]
    return table


def _fill(windows: Floats32, out: Floats32) -> None:
    """Write the statistics of `windows` [B, 60, 14] into `out` [B, S x 14]."""
    batch, bars, features = windows.shape
    # Bars first, all else in one long row: several times as fast as along the middle axis, and the same bits.
    rows = windows.transpose(1, 0, 2).reshape(bars, batch * features)
    deviations = [rows[bars - span :].std(axis=0) for span in DEVIATIONS]
    others = np.stack([*deviations, rows.min(axis=0), rows.max(axis=0)])
    by_window = others.reshape(len(others), batch, features).transpose(1, 0, 2)
    grid = np.concatenate([np.matmul(_LINEAR, windows), by_window], axis=1)
    out[:] = grid.reshape(batch, len(_STATISTICS) * features)


def by_feature(values: NDArray[np.floating]) -> Floats32:
    """Sums of per-column values over the columns of each of the 14 features; the context's are left out.

    Args:
        values: floats [TABULAR_SIZE], e.g. gains.

    Returns:
        float32 [14], scaled to sum to 1 (all zero if `values` are).
    """
    grid = np.asarray(values[:-_CONTEXT], dtype=np.float64).reshape(len(_STATISTICS), len(FEATURE_NAMES))
    sums = grid.sum(axis=0)
    total = sums.sum()
    return np.asarray(sums / total if total > 0 else sums, dtype=np.float32)
