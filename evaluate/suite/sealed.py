"""`sealed`: a dataset whose markets end where it does, so that a foreign agent cannot see a later bar."""

from __future__ import annotations

import numpy as np

from quantum_trader.envs.market import Market
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import UNDEFINED, Labels


def sealed(rows: PooledDataset, until: int) -> PooledDataset:
    """The same rows of markets that end before `until`.

    A dataset shares its markets with those of later splits: an agent that computes features of its own from
    `train.markets` would learn from the test's bars without knowing.

    Args:
        rows: N rows, all of bars before `until`.
        until: moment in milliseconds since the epoch, UTC: bars that open at or after it are cut off.

    Returns:
        N rows, equal to `rows` and in the same order; markets without a bar before `until` have length 0.
    """
    stops = [int(np.searchsorted(market.bars.timestamp, until, side="left")) for market in rows.markets]
    markets = [market.rows(0, stop) for market, stop in zip(rows.markets, stops, strict=True)]
    labels = [_labels(rows, index, market) for index, market in enumerate(markets)]
    weights = []
    for index, market in enumerate(markets):
        mine = rows.market == index
        weight = np.zeros(len(market), dtype=np.float32)
        weight[rows.end[mine]] = rows.weight[mine]
        weights.append(weight)
    return PooledDataset(markets, labels, weights=weights)


def _labels(rows: PooledDataset, index: int, market: Market) -> Labels:
    """Labels of one market, defined at the dataset's rows alone."""
    mine = rows.market == index
    bars = rows.end[mine]
    action = np.full(len(market), UNDEFINED, dtype=np.int8)
    returns = np.full((len(market), rows.returns.shape[1]), np.nan, dtype=np.float32)
    action[bars], returns[bars] = rows.action[mine], rows.returns[mine]
    every = np.arange(len(market), dtype=np.int64)
    return Labels(action=action, end=every, reach=every, forward_returns=returns, valid=action != UNDEFINED)
