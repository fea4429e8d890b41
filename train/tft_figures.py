"""Figures of a pass over rows: running sums while it goes on, means when it is over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.agents.tft.model import TFTOutput
from quantum_trader.train.tft_loss import Loss, Targets

Floats32 = NDArray[np.float32]
_CLASSES = 3


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


class Tally:
    """Sums over batches; a plain list of numbers, so that a checkpoint can hold it."""

    def __init__(self, sums: list[float] | None = None) -> None:
        # rows, loss, cross entropy, pinball, correct, then answers by class
        self.sums = sums if sums is not None else [0.0] * (5 + _CLASSES)

    @property
    def rows(self) -> int:
        """Rows counted so far."""
        return int(self.sums[0])

    @torch.no_grad()
    def add(self, loss: Loss, output: TFTOutput, targets: Targets) -> None:
        """Count one batch."""
        rows = len(targets.action)
        answers = output.logits.argmax(dim=-1)
        batch = [
            rows,
            *(float(part) * rows for part in loss),
            int((answers == targets.action).sum()),
            *torch.bincount(answers, minlength=_CLASSES).tolist(),
        ]
        self.sums = [total + value for total, value in zip(self.sums, batch, strict=True)]

    def figures(self) -> Figures:
        """The means so far."""
        rows = max(self.sums[0], 1.0)
        loss, cross_entropy, pinball, accuracy, *shares = (value / rows for value in self.sums[1:])
        return Figures(
            loss=loss,
            cross_entropy=cross_entropy,
            pinball=pinball,
            accuracy=accuracy,
            shares=(shares[0], shares[1], shares[2]),
        )


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What a pass over validation rows paid attention to.

    Attributes:
        attention: float32 [60], mean weight of each bar.
        importances: float32 [N, 14], weight of each feature, averaged over the bars.
    """

    attention: Floats32
    importances: Floats32

    @classmethod
    def of(cls, attention: list[Tensor], importances: list[Tensor]) -> Explained:
        """From the batches of a pass: [B, 60] and [B, 14] each."""
        return cls(
            attention=torch.cat(attention).mean(dim=0).numpy(), importances=torch.cat(importances).numpy()
        )
