"""The context vector: what is known at bar t besides the window, as static numbers and future calendar."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HORIZONS: tuple[int, ...] = (1, 3, 6, 12)
"""Bars ahead for which forward-return quantiles are predicted and the calendar is given."""

STATIC_NAMES: tuple[str, ...] = (
    "volatility_level",
    "volatility_regime",
    "trend_regime",
    "cost_to_range",
    "has_funding",
    "trades_weekends",
)
"""Static inputs, scale-free and known at the close of bar t (formulas: `quantum_trader.envs.features`)."""

CALENDAR_NAMES: tuple[str, ...] = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")

STATIC_SIZE = len(STATIC_NAMES)
CALENDAR_SIZE = len(CALENDAR_NAMES)
CONTEXT_SIZE = STATIC_SIZE + len(HORIZONS) * CALENDAR_SIZE

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
# 1970-01-01 was a Thursday; shifting by three days makes Monday 00:00 UTC phase 0.
_MONDAY_SHIFT_MS = 3 * _DAY_MS


def calendar(timestamp_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    """Hour of day and hour of week as points on the circle.

    Args:
        timestamp_ms: int64 [...], milliseconds since the epoch, UTC.

    Returns:
        float32 [..., 4] in the order of `CALENDAR_NAMES`, each in [-1, 1].
    """
    day = (timestamp_ms % _DAY_MS) * (2 * np.pi / _DAY_MS)
    week = ((timestamp_ms + _MONDAY_SHIFT_MS) % _WEEK_MS) * (2 * np.pi / _WEEK_MS)
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=-1).astype(np.float32)


@lru_cache(maxsize=64)
def _ahead(timestamp_ms: int, step_ms: int) -> NDArray[np.float32]:
    """The calendar part of `context_row`: a hundred symbols ask for the same moment."""
    future = calendar(timestamp_ms + np.asarray(HORIZONS, dtype=np.int64)[None] * step_ms).reshape(-1)
    future.setflags(write=False)
    return future


def context_row(static: NDArray[np.float32], timestamp_ms: int, step_ms: int) -> NDArray[np.float32]:
    """float32 [CONTEXT_SIZE]: `context_rows` of one bar with static numbers float32 [STATIC_SIZE]."""
    return np.concatenate([static, _ahead(timestamp_ms, step_ms)])


def context_rows(
    static: NDArray[np.float32], timestamp_ms: NDArray[np.int64], step_ms: int
) -> NDArray[np.float32]:
    """The context vector of each bar: its static numbers, then the calendar of the bars at `HORIZONS` ahead.

    Clock time ahead is known in advance, so nothing here looks into the future.

    Args:
        static: float32 [T, STATIC_SIZE].
        timestamp_ms: int64 [T], bar opens.
        step_ms: length of a bar.

    Returns:
        float32 [T, CONTEXT_SIZE].
    """
    ahead = timestamp_ms[:, None] + np.asarray(HORIZONS, dtype=np.int64) * step_ms
    future = calendar(ahead).reshape(len(timestamp_ms), -1)
    return np.concatenate([static.astype(np.float32, copy=False), future], axis=1)
