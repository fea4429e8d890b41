"""Running sums over the batches of a pass, kept where the network runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from quantum_trader.agents.network import NetworkOutput
from quantum_trader.train.distributed import Group
from quantum_trader.train.network_figures import Explained, Figures
from quantum_trader.train.network_loss import Loss, Targets

_CLASSES = 3


class Tally:
    """Sums of this process; only `totals` and `figures` make a GPU wait and ask the other processes.

    Args:
        device: where the network runs.
        totals: sums to start from, in the first process.
    """

    def __init__(self, device: torch.device, totals: Sequence[float] = ()) -> None:
        # rows, loss, cross entropy, pinball, correct, then answers by class
        start = list(totals) or [0.0] * (5 + _CLASSES)
        self._sums = torch.tensor(start, dtype=torch.float64, device=device)
        self._classes = torch.arange(_CLASSES, device=device)

    @torch.no_grad()
    def add(self, loss: Loss, output: NetworkOutput, targets: Targets, *, rows: int | None = None) -> None:
        """Count one batch.

        Args:
            loss: this process's part of a mean over `rows` rows.
            output, targets: of this process's rows.
            rows: rows of all processes; None where the batch is this process's alone.
        """
        own = len(targets.action)
        answers = output.logits.argmax(dim=-1)
        self._sums[0] += own
        self._sums[1:4] += torch.stack(list(loss)).double() * (own if rows is None else rows)
        self._sums[4] += (answers == targets.action).sum()
        self._sums[5:] += (answers.unsqueeze(-1) == self._classes).sum(dim=0)

    def totals(self, group: Group) -> list[float]:
        """The sums over all processes, plain numbers for a checkpoint."""
        sums = self._sums.clone()
        group.sum_([sums])
        found: list[float] = sums.tolist()
        return found

    def figures(self, group: Group) -> Figures:
        """The means so far, over all processes."""
        rows, *sums = self.totals(group)
        loss, cross_entropy, pinball, accuracy, *shares = (value / max(rows, 1.0) for value in sums)
        return Figures(
            loss=loss,
            cross_entropy=cross_entropy,
            pinball=pinball,
            accuracy=accuracy,
            shares=(shares[0], shares[1], shares[2]),
        )


def joined(parts: Sequence[Explained]) -> Explained:
    """What several processes saw of one pass, each of other rows, as if one had seen them all."""
    parts = [part for part in parts if part.labels is not None]
    if len(parts) < 2:
        return parts[0] if parts else Explained()
    rows = [len(part.labels) for part in parts if part.labels is not None]

    def mean(found: list[Any]) -> Any:
        return np.average(found, axis=0, weights=rows).astype(np.float32)

    def over(join: Callable[[list[Any]], Any], name: str) -> Any:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else join(found)

    return Explained(
        attention=over(mean, "attention"),
        importances=over(np.concatenate, "importances"),
        importances_by_bar=over(mean, "importances_by_bar"),
        probabilities=over(np.concatenate, "probabilities"),
        labels=over(np.concatenate, "labels"),
    )
