"""`MirroredRows`: a dataset and its mirror image, so that a learner meets every move in both directions."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.mirror import Mirror
from quantum_trader.train.dataset import Batch, PooledDataset

Rows = NDArray[np.int64]

_STREAM = 1
_OPPOSITE = np.array([Action.HOLD, Action.SELL, Action.BUY], dtype=np.int64)


class RowSource(Protocol):
    """Labelled observations by row number."""

    def batch(self, rows: Rows) -> Batch:
        """The observations and labels of `rows`, int64 [B]."""
        ...


class MirroredRows:
    """`2 N` rows: those of a dataset, then the same in the mirrored market, where BUY is SELL.

    Args:
        dataset: `N` rows of markets.
        mirror: with the scaler that the markets were scaled with.
    """

    def __init__(self, dataset: PooledDataset, mirror: Mirror) -> None:
        self._dataset, self._mirror = dataset, mirror

    def batch(self, rows: Rows) -> Batch:
        """Observations and labels of `rows`, int64 [B] in [0, 2 N); from N on they are mirrored."""
        flipped, own = np.divmod(rows, len(self._dataset))
        batch = self._dataset.batch(own)
        turned = flipped == 1
        windows, context = batch.windows, batch.context
        windows[turned] = self._mirror.windows(windows[turned])
        context[turned] = self._mirror.context(context[turned])
        return Batch(
            windows=windows,
            context=context,
            action=np.where(turned, _OPPOSITE[batch.action], batch.action),
            returns=np.where(turned[:, None], -batch.returns, batch.returns),
            weight=batch.weight,
        )


def turn_half(rows: Rows, count: int, *, seed: int, epoch: int) -> Rows:
    """`rows` with a random half of them moved to their mirror images.

    Args:
        rows: int64 [B] in [0, count).
        count: rows of the dataset.
        seed, epoch: what decides which; a row's fate does not depend on the other rows.
    """
    turned = np.random.default_rng([seed, epoch, _STREAM]).random(count) < 0.5
    return rows + count * turned[rows]
