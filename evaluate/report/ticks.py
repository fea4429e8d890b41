"""Axis ticks at round values and round moments, and the thinning of long series."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate.report.format import number, percent, utc

Array = NDArray[Any]
Floats = NDArray[np.float64]

_TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_MINUTE = 60_000
_DAY = 1_440 * _MINUTE
_TIME_STEPS = (
    *(minutes * _MINUTE for minutes in (1, 5, 15, 30, 60, 180, 360, 720)),
    *(days * _DAY for days in (1, 2, 7, 14)),
)
_MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A marked value of an axis and how it is written."""

    value: float
    label: str


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values, about `wanted` of them, at multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in _TICK_STEPS if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """The range a little widened; a single value gets a range around it."""
    room = (high - low) * share or max(abs(high), 1.0) * share
    return low - room, high + room


def percent_ticks(low: float, high: float, *, signed: bool, wanted: int = 5) -> list[Tick]:
    """Ticks of values that already are percent."""
    values = nice_ticks(low, high, wanted)
    digits = tick_digits(values)
    return [Tick(value=v, label=f"{number(v, digits, signed=signed)} %") for v in values]


def share_ticks(low: float, high: float, wanted: int) -> list[Tick]:
    """Ticks of fractions, written as percent."""
    values = nice_ticks(low, high, wanted)
    digits = tick_digits([value * 100 for value in values])
    return [Tick(value=v, label=percent(v, digits)) for v in values]


def number_ticks(low: float, high: float, wanted: int) -> list[Tick]:
    """Ticks of plain numbers."""
    values = nice_ticks(low, high, wanted)
    return [Tick(value=v, label=number(v, tick_digits(values))) for v in values]


def bar_ticks(moments: Array, wanted: int) -> list[Tick]:
    """Ticks at positions of bars, int64 [n] in milliseconds UTC, named by date and hour."""
    rows = np.linspace(0, len(moments) - 1, wanted + 2).astype(np.int64)[1:-1]
    return [Tick(value=float(row), label=utc(float(moments[row])).strftime("%d %b %H:%M")) for row in rows]


def tick_digits(values: Sequence[float]) -> int:
    """Decimals needed to tell the ticks apart."""
    return next((d for d in range(4) if all(abs(v - round(v, d)) < 1e-9 for v in values)), 4)


def time_ticks(start_ms: float, stop_ms: float, wanted: int = 6) -> list[Tick]:
    """Round UTC moments: clock times, days, or firsts of the month, whichever gives about `wanted`."""
    span = max(stop_ms - start_ms, 1.0)
    step = next((size for size in _TIME_STEPS if span / size <= wanted), None)
    if step is None:
        return _month_ticks(start_ms, stop_ms, wanted)
    first = math.ceil(start_ms / step)
    moments = [index * step for index in range(first, math.floor(stop_ms / step) + 1)]
    style = "%d %b" if step >= _DAY else "%H:%M"
    # Several days of clock times need the date at midnight to be told apart.
    return [
        Tick(value=m, label=utc(m).strftime("%d %b" if step < _DAY and m % _DAY == 0 else style))
        for m in moments
    ]


def _month_ticks(start_ms: float, stop_ms: float, wanted: int) -> list[Tick]:
    first, last = utc(start_ms), utc(stop_ms)
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    step = next((size for size in _MONTH_STEPS if len(months) / size <= wanted), _MONTH_STEPS[-1])
    ticks = []
    for month in months:
        moment = first.replace(
            year=month // 12, month=month % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0
        )
        value = moment.timestamp() * 1000
        if month % step == 0 and start_ms <= value <= stop_ms:
            yearly = step >= 12
            ticks.append(Tick(value=value, label=moment.strftime("%Y" if yearly else "%b %Y")))
    return ticks


def decimate(x: Array, y: Array, points: int = 600) -> tuple[Floats, Floats]:
    """Thin a long series to about `points`, keeping first, last, and the extremes of every stretch."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(xs) <= points:
        return xs, ys
    edges = np.linspace(0, len(xs), max(points // 2, 1) + 1).astype(np.int64)
    kept = {0, len(xs) - 1}
    for start, stop in itertools.pairwise(edges):
        stretch = ys[start:stop]
        if np.isfinite(stretch).any():
            kept |= {int(start + np.nanargmin(stretch)), int(start + np.nanargmax(stretch))}
    rows = np.array(sorted(kept))
    return xs[rows], ys[rows]
