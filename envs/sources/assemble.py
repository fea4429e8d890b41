"""From a venue's rows to a frame of bars: funding and mark prices in their places, nonsense left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.load import MARK_COLUMNS, PRICE_COLUMNS

_MINUTE_MS = 60_000
_LONGEST_SILENCE = pd.Timedelta(hours=48)
"""Funding settles every 1 to 24 hours; a longer pause is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a source sent of one symbol; every array ascends by its first column, the time in milliseconds."""

    bars: Floats
    """float64 [n, 6]: open time, open, high, low, close, volume."""
    mark: Floats
    """float64 [m, 5]: open time and the mark price's open, high, low, close; may be empty."""
    funding: Floats
    """float64 [k, 2]: time of a settlement and its rate; may be empty."""


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A frame of bars, and what was wrong with the rows it was made of."""

    frame: pd.DataFrame
    """Columns of a data file (see `envs.load`); `timestamp` is UTC; rows are sound and ascending."""
    notes: tuple[str, ...]
    """Sentences for the user; empty where nothing was wrong."""


def assemble(rows: Rows, step_ms: int) -> Assembled:
    """Bars with their funding rates and mark prices.

    A bar that contradicts itself (a price that is not above 0, a high below the close, ...) is left out and
    becomes a gap; a mark price that does is left empty.

    Args:
        rows: as received.
        step_ms: length of a bar.
    """
    sound = _sound_prices(rows.bars[:, 1:5]) & np.isfinite(rows.bars[:, 5]) & (rows.bars[:, 5] >= 0)
    bars = rows.bars[sound]
    stamps = bars[:, 0].astype(np.int64)
    rates, homeless = settle(stamps, rows.funding, step_ms)
    marks, unsound = _marks(stamps, rows.mark)
    notes = (
        _note(rows.bars[~sound, 0], "bar", "left out: high, low and prices contradict each other"),
        _note(unsound, "mark price", "left empty: high, low and prices contradict each other"),
        _note(homeless, "funding settlement", "left out: no bar stands there"),
    )
    columns = dict(zip((*PRICE_COLUMNS, "volume"), bars[:, 1:6].T, strict=True))
    columns["funding_rate"] = rates
    columns.update(zip(MARK_COLUMNS, marks.T, strict=True))
    frame = pd.DataFrame({"timestamp": pd.to_datetime(stamps, unit="ms", utc=True), **columns})
    return Assembled(frame=frame, notes=tuple(note for note in notes if note))


def settle(stamps: NDArray[np.int64], funding: Floats, step_ms: int) -> tuple[Floats, Floats]:
    """Funding rates by bar.

    A settlement belongs to the bar at whose open it falls; venues stamp it some milliseconds or seconds late,
    so times are rounded to the minute. One that falls inside a bar belongs to the next bar's open, where the
    position that was held pays; several settlements of one bar are added up.

    Args:
        stamps: int64 [T], opens of bars, ascending.
        funding: float64 [k, 2], time and rate.
        step_ms: length of a bar.

    Returns:
        float64 [T], NaN where nothing settles; and the times of settlements between the first and the last
        bar that no bar stands for.
    """
    rates = np.full(len(stamps), np.nan)
    known = funding[np.isfinite(funding[:, 1])]
    times = np.rint(known[:, 0] / _MINUTE_MS).astype(np.int64) * _MINUTE_MS
    times, first = np.unique(times, return_index=True)
    values = known[first, 1]
    at = np.searchsorted(stamps, times, side="left")
    inside = at < len(stamps)
    times, values, at = times[inside], values[inside], at[inside]
    own = stamps[at] - times < step_ms
    for index, value in zip(at[own], values[own], strict=True):
        rates[index] = value if np.isnan(rates[index]) else rates[index] + value
    homeless = times[~own & (at > 0)]
    return rates, homeless.astype(np.float64)


def known_marks(stamps: NDArray[np.int64], mark: Floats) -> Floats:
    """Mark prices by bar.

    Args:
        stamps: int64 [T], opens of bars, ascending.
        mark: float64 [m, 5], see `Rows`.

    Returns:
        float64 [T, 4], NaN where the mark price is unknown or cannot be right.
    """
    return _marks(stamps, mark)[0]


def _marks(stamps: NDArray[np.int64], mark: Floats) -> tuple[Floats, Floats]:
    """float64 [T, 4], NaN where the mark price is unknown; and the times of those that cannot be right."""
    sound = _sound_prices(mark[:, 1:5])
    kept = mark[sound]
    marks = np.full((len(stamps), 4), np.nan)
    _, rows, sources = np.intersect1d(stamps, kept[:, 0].astype(np.int64), return_indices=True)
    marks[rows] = kept[sources, 1:5]
    return marks, mark[~sound, 0]


def _sound_prices(prices: Floats) -> NDArray[np.bool_]:
    """bool [n] of open, high, low, close [n, 4]: finite, above 0, and high and low hold the others."""
    with np.errstate(invalid="ignore"):
        first, high, low, last = prices.T
        positive = np.isfinite(prices).all(axis=1) & (prices > 0).all(axis=1)
        return np.asarray(positive & (high >= np.maximum(first, last)) & (low <= np.minimum(first, last)))


def _note(times: Floats, thing: str, fate: str) -> str:
    if not len(times):
        return ""
    moment = pd.Timestamp(int(times[0]), unit="ms", tz="UTC")
    plural = "" if len(times) == 1 else "s"
    return f"{len(times):,} {thing}{plural} {fate} (first {moment:%Y-%m-%d %H:%M} UTC)"


def unknown_parts(frame: pd.DataFrame, *, funding: bool, mark: bool) -> tuple[str, ...]:
    """Notes on what was asked for and is not there.

    Args:
        frame: from `assemble`.
        funding: whether funding rates were asked for.
        mark: whether mark prices were asked for.
    """
    notes = []
    if funding and len(frame):
        notes += _unknown_funding(frame)
    unmarked = int(frame["mark_close"].isna().sum())
    if mark and unmarked:
        notes.append(f"{unmarked:,} of {len(frame):,} bars have no mark price; the last price stands in")
    return tuple(notes)


def _unknown_funding(frame: pd.DataFrame) -> list[str]:
    """Stretches without a settlement that are several times longer than usual."""
    moments = frame["timestamp"]
    settled = moments[frame["funding_rate"].notna()]
    usual = settled.diff().median()
    longest = max(_LONGEST_SILENCE, 3 * usual) if len(settled) > 1 else _LONGEST_SILENCE
    edges = pd.concat([moments.iloc[:1], settled, moments.iloc[-1:]], ignore_index=True)
    silent = np.flatnonzero(edges.diff().iloc[1:] > longest)
    notes = [f"no funding rates from {edges[i]:%Y-%m-%d} to {edges[i + 1]:%Y-%m-%d}" for i in silent[:3]]
    return [*notes, f"and {len(silent) - 3} more such stretches"] if len(silent) > 3 else notes
