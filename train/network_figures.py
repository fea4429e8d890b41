"""What a pass over rows comes to: figures, and what the network said and looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.agents.network import NetworkOutput
from quantum_trader.envs.windows import WINDOW
from quantum_trader.train.network_loss import Targets

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Means over the rows of one pass."""

    loss: float
    """Cross entropy + quantile_weight x pinball loss, what training minimises."""
    cross_entropy: float
    """Nats a row."""
    pinball: float
    """In units of `ReturnScale`."""
    accuracy: float
    """Share of rows whose most probable class was the label."""
    shares: tuple[float, float, float]
    """Shares of rows answered HOLD, BUY, SELL."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One finished epoch."""

    epoch: int
    """Counted from 1."""
    train: Figures
    """Over the epoch, while the weights changed and with dropout."""
    validation: Figures
    """Of the averaged weights, after the epoch."""
    learning_rate: float
    samples_per_second: float
    best: bool
    """Whether this is the best validation loss so far."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What a pass over `N` validation rows said and paid attention to; None for what the network lacks.

    Attributes:
        attention: float32 [60], mean weight of each bar.
        importances: float32 [N, 14], weight of each feature, averaged over the bars.
        importances_by_bar: float32 [60, 14], weight of each feature at each bar, averaged over the rows.
        probabilities: float32 [N, 3], before any calibration.
        labels: int64 [N], `Action` values.
    """

    attention: Floats32 | None = None
    importances: Floats32 | None = None
    importances_by_bar: Floats32 | None = None
    probabilities: Floats32 | None = None
    labels: NDArray[np.int64] | None = None


class Seen:
    """Gathers what a pass over validation rows says; of [B, 60, 14] weights only means are kept.

    Args:
        bars_seen: newest bars that the network looks at.
    """

    def __init__(self, bars_seen: int = WINDOW) -> None:
        self._bars_seen = bars_seen
        self._probabilities: list[Floats32] = []
        self._labels: list[NDArray[np.int64]] = []
        self._importances: list[Floats32] = []
        self._rows = 0
        self._attention: Tensor | None = None
        self._by_bar: Tensor | None = None

    @torch.no_grad()
    def add(self, output: NetworkOutput, targets: Targets) -> None:
        """Count one batch, on whatever device it is."""
        self._rows += len(targets.action)
        self._probabilities.append(torch.softmax(output.logits.float(), dim=-1).cpu().numpy())
        self._labels.append(targets.action.cpu().numpy())
        self._attention = _added(self._attention, output.attention)
        if output.importances is not None:
            newest = output.importances[:, -self._bars_seen :]
            self._importances.append(newest.float().mean(dim=1).cpu().numpy())
            self._by_bar = _added(self._by_bar, output.importances)

    def explained(self) -> Explained:
        """What was seen so far."""
        if self._rows == 0:
            return Explained()
        return Explained(
            attention=self._mean(self._attention),
            importances=np.concatenate(self._importances) if self._importances else None,
            importances_by_bar=self._mean(self._by_bar),
            probabilities=np.concatenate(self._probabilities),
            labels=np.concatenate(self._labels),
        )

    def _mean(self, total: Tensor | None) -> Floats32 | None:
        return None if total is None else (total / self._rows).float().cpu().numpy()


def _added(total: Tensor | None, batch: Tensor) -> Tensor:
    """The sum over rows so far; in float64, since a float32 sum of many rows loses digits."""
    rows = batch.double().sum(dim=0)
    return rows if total is None else total + rows
