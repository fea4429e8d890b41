"""Windows of consecutive bars as views on one table, and the rows at which a window may end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

WINDOW = 60
"""Bars in a window."""
MAX_GAP_BARS = 3
"""Longest run of missing bars that a window may span."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_LONGEST_WEEKEND_MS = 80 * _HOUR_MS
# The daily pause of CME Globex, 16:00 to 17:00 in Chicago: in UTC from 21:00 in summer and 22:00 in winter.
_DAILY_PAUSE_HOURS = (21, 22)
# 1970-01-01 was a Thursday, so Saturdays start two days into each week counted from the epoch.
_SATURDAY_OFFSET_MS = 2 * _DAY_MS


@dataclass(frozen=True, kw_only=True)
class GapReport:
    """Missing bars of one symbol.

    Attributes:
        gaps: runs of missing bars, pauses of the session not counted.
        longest: bars missing in the longest of them.
        missing: bars missing in all of them.
        breaks: gaps too long for a window to span.
        pauses: pauses of the session: weekends, and the daily hour of a "cme" market.
    """

    gaps: int
    longest: int
    missing: int
    breaks: int
    pauses: int


def window_view(table: Floats32, length: int = WINDOW) -> Floats32:
    """All windows of `table` as one read-only view.

    Args:
        table: float32 [T, F], C-contiguous.
        length: bars in a window, at most T.

    Returns:
        float32 [T - length + 1, length, F] sharing memory with `table`; window i ends at row i + length - 1.
    """
    rows, features = table.shape
    shape = (max(rows - length + 1, 0), length, features)
    strides = (table.strides[0], table.strides[0], table.strides[1])
    return as_strided(table, shape=shape, strides=strides, writeable=False)


def gather(table: Floats32, ends: NDArray[np.int64], length: int = WINDOW) -> Floats32:
    """Copy of the windows that end at rows `ends`.

    Args:
        table: float32 [T, F], C-contiguous.
        ends: int64 [B], each in [length - 1, T).
        length: bars in a window.

    Returns:
        float32 [B, length, F], C-contiguous, oldest bar first.

    Raises:
        IndexError: a window would start before row 0 or end after the last.
        ValueError: the table is not C-contiguous.
    """
    rows, features = table.shape
    if not table.flags.c_contiguous:
        raise ValueError("Expected a C-contiguous table; pass np.ascontiguousarray(table).")
    if len(ends) and (ends.min() < length - 1 or ends.max() >= rows):
        raise IndexError(f"Windows of {length} bars end at rows {length - 1} to {rows - 1} of this table.")
    # A window is one contiguous run of memory: rows of this flat view are copied in single strokes.
    shape = (max(rows - length + 1, 0), length * features)
    flat = as_strided(table, shape=shape, strides=table.strides, writeable=False)
    copied: Floats32 = flat[ends - (length - 1)].reshape(len(ends), length, features)
    return copied


def find_breaks(bars: Bars, contract: FuturesContract, max_gap_bars: int = MAX_GAP_BARS) -> Mask:
    """bool [T]: more than `max_gap_bars` bars are missing before bar t, pauses of the session exempt."""
    missing, pauses = _gaps(bars.timestamp, bars.step_ms, contract)
    return np.asarray((missing > max_gap_bars) & ~pauses)


def is_break(
    previous_ms: int,
    timestamp_ms: int,
    step_ms: int,
    contract: FuturesContract,
    max_gap_bars: int = MAX_GAP_BARS,
) -> bool:
    """`find_breaks` for one live bar: whether an over-long gap lies between two successive bar opens."""
    if timestamp_ms - previous_ms == step_ms:
        return False
    missing, pauses = _gaps(np.array([previous_ms, timestamp_ms], dtype=np.int64), step_ms, contract)
    return bool(missing[1] > max_gap_bars and not pauses[1])


def usable_ends(
    bars: Bars,
    features: Floats32,
    contract: FuturesContract,
    *,
    length: int = WINDOW,
    max_gap_bars: int = MAX_GAP_BARS,
) -> Mask:
    """bool [T]: True where a window ending at bar t holds no warm-up NaN and spans no over-long gap.

    Args:
        bars: T bars.
        features: float32 [T, F], raw features with NaN in warm-up.
        contract: says which pauses belong to the session.
        length: bars in a window.
        max_gap_bars: longest run of missing bars that a window may span.
    """
    unknown = np.asarray(~np.isfinite(features).all(axis=1))
    broken = find_breaks(bars, contract, max_gap_bars)
    usable = np.zeros(len(bars), dtype=np.bool_)
    if len(bars) >= length:
        # A gap before a window's first bar lies outside it.
        usable[length - 1 :] = (_count_in(unknown, length) == 0) & (_count_in(broken, length - 1)[1:] == 0)
    return usable


def gap_report(bars: Bars, contract: FuturesContract, max_gap_bars: int = MAX_GAP_BARS) -> GapReport:
    """Count the missing bars of `bars`."""
    missing, pauses = _gaps(bars.timestamp, bars.step_ms, contract)
    gaps = missing[(missing > 0) & ~pauses]
    return GapReport(
        gaps=len(gaps),
        longest=int(gaps.max(initial=0)),
        missing=int(gaps.sum()),
        breaks=int((gaps > max_gap_bars).sum()),
        pauses=int(pauses.sum()),
    )


def _count_in(mask: Mask, length: int) -> NDArray[np.int64]:
    """int64 [T - length + 1]: how many of the `length` rows ending at each row are True."""
    total = np.concatenate([[0], np.cumsum(mask)])
    return np.asarray(total[length:] - total[: len(total) - length], dtype=np.int64)


def _gaps(
    timestamp: NDArray[np.int64], step_ms: int, contract: FuturesContract
) -> tuple[NDArray[np.int64], Mask]:
    """What precedes each bar.

    Returns:
        int64 [T], bars missing before bar t; bool [T], True where that is a pause of the session: unless it
        is "24/7", one that covers a whole Saturday (UTC) and lasts no longer than 80 hours, and in a "cme"
        session the hour a day in which trading stops.
    """
    missing = np.zeros(len(timestamp), dtype=np.int64)
    pauses = np.zeros(len(timestamp), dtype=np.bool_)
    start, stop = timestamp[:-1] + step_ms, timestamp[1:]
    missing[1:] = np.rint((stop - start) / step_ms)
    saturday = start + (_SATURDAY_OFFSET_MS - start) % (7 * _DAY_MS)
    if contract.session != "24/7":
        pauses[1:] = (saturday + _DAY_MS <= stop) & (stop - start <= _LONGEST_WEEKEND_MS)
    if contract.session == "cme":
        hour = start % _DAY_MS // _HOUR_MS
        pauses[1:] |= (missing[1:] > 0) & np.isin(hour, _DAILY_PAUSE_HOURS) & (stop - start <= _HOUR_MS)
    return missing, pauses
