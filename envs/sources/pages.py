"""Reading a stretch of time page by page, whatever the pages look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantum_trader.envs.bars import Floats


def read_range(
    page: Callable[[int], tuple[Floats, int]], start_ms: int, end_ms: int, *, width: int, apart_ms: int
) -> Floats:
    """Every row with a time in [start_ms, end_ms), each time once, ascending.

    Pages may be shorter than asked for, overlap, be empty, or reach beyond the stretch. An empty page is
    asked for a second time before it is believed. Of two rows with one time the first received counts.

    Args:
        page: since_ms -> (rows float64 [n, width] whose first column is the time, and the moment up to which
            a page without rows says that there are none).
        start_ms: first moment wanted, milliseconds since the epoch.
        end_ms: first moment not wanted.
        width: columns of a row.
        apart_ms: two rows are at least so far apart.
    """
    parts = [np.empty((0, width))]
    since, doubted = start_ms, False
    while since < end_ms:
        rows, empty_until = page(since)
        rows = rows[rows[:, 0] >= since]
        if len(rows):
            parts.append(rows[rows[:, 0] < end_ms])
            since, doubted = int(rows[-1, 0]) + apart_ms, False
        elif doubted:
            since, doubted = max(empty_until, since + 1), False
        else:
            doubted = True
    found = np.concatenate(parts)
    _, first = np.unique(found[:, 0], return_index=True)
    return found[first]
