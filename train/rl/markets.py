"""The markets a policy trains on, and the labelled rows its probabilities are calibrated on."""

from __future__ import annotations

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.envs.windows import WINDOW
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.rl.fit import LabelledStates

Span = tuple[int, int, int]


def cut_markets(rows: PooledDataset, *, mirror: bool = False) -> list[Market]:
    """The markets cut to the range of `rows`: one window before the first row, one bar after the last.

    Args:
        rows: markets without a row in it are left out.
        mirror: append the mirror image of each, cut alike.
    """
    spans = _spans(rows)
    found = [rows.markets[index].rows(start, stop) for index, start, stop in spans]
    if mirror:
        found += [mirrored_market(rows.markets[index]).rows(start, stop) for index, start, stop in spans]
    return found


def labelled_states(rows: PooledDataset, train: PooledDataset) -> LabelledStates:
    """The rows of `rows` as bars of `cut_markets(rows)`, with HOLD's share among the rows of `train`."""
    place, first = np.zeros(len(rows.markets), np.int64), np.zeros(len(rows.markets), np.int64)
    for position, (index, start, _) in enumerate(_spans(rows)):
        place[index], first[index] = position, start
    return LabelledStates(
        market=place[rows.market],
        bar=rows.end - first[rows.market],
        action=rows.action,
        hold_share=float(np.mean(train.action == Action.HOLD)),
    )


def _spans(rows: PooledDataset) -> list[Span]:
    """Market, first bar and end of each cut."""
    found = []
    for index, market in enumerate(rows.markets):
        ends = rows.end[rows.market == index]
        if len(ends):
            found.append((index, max(int(ends.min()) - WINDOW + 1, 0), min(int(ends.max()) + 2, len(market))))
    return found
