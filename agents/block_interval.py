"""Interval of a share whose rows hang together in time, by blocks of bars instead of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_BLOCKS = 10
"""Blocks below which a share gets no interval: a handful says nothing about how blocks scatter."""


@dataclass(frozen=True, kw_only=True)
class BlockCounts:
    """Events summed by block of time, whatever symbol they are of.

    Attributes:
        right: float64 [C], events of the block that came true.
        rows: float64 [C], events of the block; blocks without any are left out.
    """

    right: Floats
    rows: Floats

    @property
    def share(self) -> float:
        """Share of all events that came true; NaN without events."""
        return float(self.right.sum() / self.rows.sum()) if len(self.rows) else float("nan")


def time_blocks(moments: NDArray[np.int64], bars: int) -> NDArray[np.int64]:
    """int64 [N]: which block of `bars` successive moments each row lies in, all symbols together.

    Args:
        moments: int64 [N], when each row was decided.
        bars: length of a block; four times what a label looks ahead keeps nearly all of the dependence that
            overlapping labels make inside the blocks.
    """
    _, place = np.unique(moments, return_inverse=True)
    return np.asarray(place // bars, dtype=np.int64)


def count_by_block(correct: NDArray[np.bool_], blocks: NDArray[np.int64]) -> BlockCounts:
    """Sums of bool [M] events by their int64 [M] blocks."""
    rows = np.bincount(blocks).astype(np.float64)
    right = np.bincount(blocks, weights=correct).astype(np.float64)
    return BlockCounts(right=right[rows > 0], rows=rows[rows > 0])


def share_interval(counts: BlockCounts, level: float) -> tuple[float, float] | None:
    """Two-sided interval of the share that comes true, at confidence `level`; None below `FEWEST_BLOCKS`.

    The variance of the share is that of a ratio of sums over independent blocks; it says how many independent
    rows the rows are worth, and Wilson's interval is taken for that many, with Student's quantile for the
    number of blocks (Franco, Little, Louis and Slud 2019, "Comparative study of confidence intervals for
    proportions in complex sample surveys").
    """
    from scipy.stats import t

    blocks = len(counts.rows)
    if blocks < FEWEST_BLOCKS:
        return None
    worth = _effective_rows(counts)
    quantile = float(t.ppf((1.0 + level) / 2.0, blocks - 1))
    share, square = counts.share, quantile**2
    middle = (share + square / (2.0 * worth)) / (1.0 + square / worth)
    half = (
        quantile * np.sqrt(share * (1.0 - share) / worth + square / (4.0 * worth**2)) / (1 + square / worth)
    )
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def _effective_rows(counts: BlockCounts) -> float:
    """How many independent rows the rows are worth: at most as many as there are."""
    blocks, rows, share = len(counts.rows), float(counts.rows.sum()), counts.share
    residual = counts.right - share * counts.rows
    variance = blocks / (blocks - 1) * float(residual @ residual) / rows**2
    if variance == 0.0:
        # All right or all wrong: nothing tells how rows of a block hang together, so a block counts once.
        return float(blocks)
    return min(rows, share * (1.0 - share) / variance)
