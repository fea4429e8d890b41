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
        self._rings: dict[str, _Ring] = {}
        self._lock = threading.Lock()

    def see(self, newest: Mapping[str, Floats32]) -> None:
        """Take in the newest bar of each symbol: raw features, float32 [14]; a row with NaN is left out."""
        if not newest:
            return
        rows = np.stack(list(newest.values()))
        finite: list[bool] = np.isfinite(rows).all(axis=1).tolist()  # type: ignore[assignment]
        bins = _binned(rows, self._edges)
        with self._lock:
            for symbol, sound, row in zip(newest, finite, bins, strict=True):
                if not sound:
                    continue
                ring = self._rings.get(symbol)
                if ring is None:
                    ring = self._rings[symbol] = _Ring(self.reference.bars)
                ring.push(row)

    def begin(self, symbol: str, rows: Floats32) -> None:
        """Start a symbol anew from raw features float32 [T, 14], oldest first."""
        newest = rows[-self.reference.bars :]
        ring = _Ring(self.reference.bars)
        for bins in _binned(newest[np.isfinite(newest).all(axis=1)], self._edges):
            ring.push(bins)
        with self._lock:
            self._rings[symbol] = ring

    def worst(self, symbols: Iterable[str]) -> dict[str, Drift]:
        """The feature furthest beyond, or nearest to, its limit, of each symbol with a whole stretch."""
        with self._lock:
            rings = {name: self._rings[name] for name in symbols if name in self._rings}
            ready = [name for name, ring in rings.items() if ring.full]
            if not ready:
                return {}
            counts = np.stack([rings[name].counts for name in ready])
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


class _Ring:
    """Bins of the last bars, and how many of them fell into each."""

    def __init__(self, bars: int) -> None:
        self._bins: Bins = np.zeros((bars, len(FEATURE_NAMES)), dtype=np.uint8)
        self.counts: Counts = np.zeros((len(FEATURE_NAMES), BINS), dtype=np.int64)
        self._next = 0
        self.full = False

    def push(self, row: Bins) -> None:
        """Add a row uint8 [14] in the place of the oldest."""
        columns = _COLUMNS
        if self.full:
            self.counts[columns, self._bins[self._next]] -= 1
        self._bins[self._next] = row
        self.counts[columns, row] += 1
        self._next += 1
        if self._next == len(self._bins):
            self._next, self.full = 0, True


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
