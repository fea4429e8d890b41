"""Drift: whether a symbol's recent features still look like those of training.

The population stability index of a feature compares how its recent values spread over the deciles of the
training rows: PSI = sum over the ten bins of (p - q) ln(p / q), q = 1/10 (Siddiqi 2006, "Credit Risk
Scorecards", ch. 8). The usual limit of 0.25 is for independent rows. Market features are not: an EMA200 gap
keeps its sign for weeks, and a sound stretch of ten days is nothing like a year. So the limit of each
feature is half as much again as the largest index that any stretch of the same length within the training
rows shows: with the largest itself, fitted on a year of one perpetual, a tenth of the days of the next year
were called drift.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.features import FEATURE_NAMES

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Bins = NDArray[np.uint8]
Counts = NDArray[np.int64]

BINS = 10
SMALLEST_LIMIT = 0.25
"""The usual limit for a significant shift, below which no limit falls."""
MARGIN = 1.5
"""How far beyond the largest index of the training rows a limit lies."""
_STRIDE = 24
_COLUMNS = np.arange(len(FEATURE_NAMES))
_FIRST_ROOM = 8


@dataclass(frozen=True, kw_only=True)
class DriftReference:
    """How the features of the training rows are spread."""

    edges: tuple[tuple[float, ...], ...]
    """[14][9]: deciles of each feature."""
    expected: tuple[tuple[float, ...], ...]
    """[14][10]: share of the training rows in each bin; not a tenth each where values repeat."""
    limits: tuple[float, ...]
    """[14]: `MARGIN` times the largest index of any stretch of the training rows, or `SMALLEST_LIMIT`."""
    bars: int
    """Bars of a stretch."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far one feature of one symbol has drifted."""

    symbol: str
    feature: str
    score: float
    """Population stability index of the last bars."""
    limit: float
    """Index beyond which training never was, see `DriftReference.limits`."""

    @property
    def beyond(self) -> bool:
        """Whether training never looked like this."""
        return self.score > self.limit


def fit_drift(features: Sequence[Floats32], *, bars: int = 240) -> DriftReference | None:
    """The reference of training rows.

    Args:
        features: raw features of each symbol's training rows in order, float32 [rows, 14]; rows with NaN are
            left out.
        bars: length of a stretch; ten days of hours.

    Returns:
        None where no symbol has a whole stretch.
    """
    tables = [table[np.isfinite(table).all(axis=1)] for table in features]
    if not any(len(table) >= bars for table in tables):
        return None
    whole = np.concatenate(tables)
    edges = np.quantile(whole.astype(np.float64), np.arange(1, BINS) / BINS, axis=0).T
    counts = _counts(_binned(whole, edges))
    # As many rows as a stretch has, so that the half row in every bin weighs the same on both sides.
    expected = _shares((counts * (bars / len(whole))).astype(np.float64))
    highest = np.zeros(len(FEATURE_NAMES))
    for table in tables:
        bins = _binned(table, edges)
        for start in range(0, len(table) - bars + 1, _STRIDE):
            stretch = _counts(bins[start : start + bars])
            highest = np.maximum(highest, stability_index(stretch, expected))
    return DriftReference(
        edges=tuple(tuple(float(edge) for edge in row) for row in edges),
        expected=tuple(tuple(float(share) for share in row) for row in expected),
        limits=tuple(max(MARGIN * float(index), SMALLEST_LIMIT) for index in highest),
        bars=bars,
    )


def stability_index(counts: NDArray[np.int64], expected: Floats) -> Floats:
    """float64 [..., 14]: the index of bin counts int64 [..., 14, 10] against shares float64 [14, 10]."""
    found = _shares(counts)
    index: Floats = ((found - expected) * np.log(found / expected)).sum(axis=-1)
    return index


class DriftWatch:
    """The last bars of every symbol in bins, and their index against the reference. Thread-safe.

    It has a lock of its own, because a symbol's history, and with it the lock that its bars are taken in
    under, is another one after a restore.

    Args:
        reference: of the models' training rows.
    """

    def __init__(self, reference: DriftReference) -> None:
        self.reference = reference
        self._edges = np.array(reference.edges)
        self._expected = np.array(reference.expected)
        self._limits = np.array(reference.limits)
        self._rings = _Rings(reference.bars)
        self._lock = threading.Lock()

    def see(self, newest: Mapping[str, Floats32]) -> None:
        """Take in the newest bar of each symbol: raw features, float32 [14]; a row with NaN is left out."""
        if not newest:
            return
        rows = np.stack(list(newest.values()))
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
        symbols = [symbol for symbol, sound in zip(newest, finite, strict=True) if sound]
        bins = _binned(rows[finite], self._edges)
        with self._lock:
            self._rings.push(symbols, bins)

    def begin(self, symbol: str, rows: Floats32) -> None:
        """Start a symbol anew from raw features float32 [T, 14], oldest first."""
        newest = rows[-self.reference.bars :]
        bins = _binned(newest[np.isfinite(newest).all(axis=1)], self._edges)
        with self._lock:
            self._rings.fill(symbol, bins)

    def worst(self, symbols: Iterable[str]) -> dict[str, Drift]:
        """The feature furthest beyond, or nearest to, its limit, of each symbol with a whole stretch."""
        with self._lock:
            ready, counts = self._rings.full(symbols)
        if not ready:
            return {}
        scores = stability_index(counts, self._expected)
        columns = np.argmax(scores / self._limits, axis=1)
        return {
            name: Drift(
                symbol=name,
                feature=FEATURE_NAMES[column],
                score=float(scores[row, column]),
                limit=float(self._limits[column]),
            )
            for row, (name, column) in enumerate(zip(ready, columns.tolist(), strict=True))
        }


class _Rings:
    """Bins of the last bars of every symbol, and how many of them fell into each.

    One set of arrays for all symbols: a bar of a hundred costs little more than of one.
    """

    def __init__(self, bars: int) -> None:
        self._bars = bars
        self._places: dict[str, int] = {}
        self._bins: Bins = np.zeros((0, bars, len(FEATURE_NAMES)), dtype=np.uint8)
        self._counts: Counts = np.zeros((0, len(FEATURE_NAMES), BINS), dtype=np.int64)
        self._seen: Counts = np.zeros(0, dtype=np.int64)

    def push(self, symbols: Sequence[str], rows: Bins) -> None:
        """Add a row uint8 [14] of each of N different symbols, uint8 [N, 14], in the place of its oldest."""
        places = np.array([self._place(symbol) for symbol in symbols], dtype=np.int64)
        seen = self._seen[places]
        slots = seen % self._bars
        leaving = seen >= self._bars
        gone = places[leaving]
        self._counts[gone[:, None], _COLUMNS, self._bins[gone, slots[leaving]]] -= 1
        self._bins[places, slots] = rows
        self._counts[places[:, None], _COLUMNS, rows] += 1
        self._seen[places] += 1

    def fill(self, symbol: str, rows: Bins) -> None:
        """Start `symbol` anew with rows uint8 [T, 14], oldest first, no more than fit."""
        place = self._place(symbol)
        self._bins[place, : len(rows)] = rows
        self._counts[place] = _counts(rows)
        self._seen[place] = len(rows)

    def full(self, symbols: Iterable[str]) -> tuple[list[str], Counts]:
        """Those of `symbols` whose ring is full, N of them, and their counts, int64 [N, 14, 10]."""
        ready = [
            name for name in symbols if name in self._places and self._seen[self._places[name]] >= self._bars
        ]
        return ready, self._counts[[self._places[name] for name in ready]]

    def _place(self, symbol: str) -> int:
        """Where in the arrays `symbol` is; a new one gets a place."""
        place = self._places.setdefault(symbol, len(self._places))
        if place == len(self._seen):
            more = max(place, _FIRST_ROOM)
            self._bins, self._counts, self._seen = (
                np.concatenate([each, np.zeros((more, *each.shape[1:]), each.dtype)])
                for each in (self._bins, self._counts, self._seen)
            )
        return place


def _binned(rows: Floats32, edges: Floats) -> Bins:
    """uint8 [N, 14]: bin of each value, 0 to 9.

    Where values repeat several edges are equal: a value on them lies in the middle of their bins, so that
    what is above and what is below a constant of training are both told from it.
    """
    values = rows[:, :, None]
    return np.asarray(((values > edges).sum(axis=2) + (values >= edges).sum(axis=2)) // 2, dtype=np.uint8)


def _counts(bins: Bins) -> Counts:
    """int64 [14, 10]: how many rows of uint8 [N, 14] fall into each bin."""
    return np.stack([np.bincount(column, minlength=BINS) for column in bins.T]).astype(np.int64)


def _shares(counts: NDArray[np.int64] | Floats) -> Floats:
    """Shares of counts; half a row in every bin keeps an empty one from being infinitely surprising."""
    smoothed = counts + 0.5
    shares: Floats = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares
