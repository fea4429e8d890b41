"""The networks' loss: weighted cross entropy of the decision plus pinball loss of the return quantiles."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from quantum_trader.agents.network import NetworkOutput


class Targets(NamedTuple):
    """What a batch is judged by."""

    action: Tensor
    """int64 [B]"""
    returns: Tensor
    """float32 [B, H], forward returns in units of `ReturnScale`; NaN where unknown."""
    weight: Tensor
    """float32 [B]"""


class Weights(NamedTuple):
    """What the sums over a batch's rows are divided by."""

    actions: Tensor
    """float32 [], sum of sample weight x class weight."""
    returns: Tensor
    """float32 [], sum of sample weights over the known returns."""


class Loss(NamedTuple):
    """A batch's loss and its parts, each a weighted mean over rows."""

    total: Tensor
    cross_entropy: Tensor
    pinball: Tensor


class NetworkLoss:
    """Cross entropy + `quantile_weight` x pinball, rows weighed by sample weight x class weight.

    Args:
        quantiles: levels of the predicted quantiles.
        class_weights: the factor of HOLD, BUY, SELL; it touches the cross entropy only.
        quantile_weight: weight of the pinball loss.
        label_smoothing: share of each label spread over all classes.
        device: where the outputs are.
    """

    def __init__(
        self,
        *,
        quantiles: tuple[float, ...],
        class_weights: tuple[float, ...],
        quantile_weight: float,
        label_smoothing: float,
        device: torch.device | None = None,
    ) -> None:
        self._levels = torch.tensor(quantiles, device=device)
        self._class_weights = torch.tensor(class_weights, dtype=torch.float32, device=device)
        self._quantile_weight = quantile_weight
        self._smoothing = label_smoothing

    def weights(self, targets: Targets) -> Weights:
        """What a batch is divided by; the sum over several processes makes one batch of theirs."""
        return Weights(
            actions=self._row_weights(targets).sum(),
            returns=(targets.weight.unsqueeze(-1) * torch.isfinite(targets.returns)).sum(),
        )

    def __call__(self, output: NetworkOutput, targets: Targets, weights: Weights | None = None) -> Loss:
        """The loss of one batch.

        Args:
            output, targets: the batch, or this process's rows of it.
            weights: of the whole batch, where other rows of it are elsewhere: the losses of all parts then
                add up to that of the batch.
        """
        total = weights if weights is not None else self.weights(targets)
        each = functional.cross_entropy(
            output.logits, targets.action, reduction="none", label_smoothing=self._smoothing
        )
        cross_entropy = (each * self._row_weights(targets)).sum() / total.actions
        pinball = pinball_loss(
            output.quantiles, targets.returns, targets.weight, self._levels, total=total.returns
        )
        return Loss(cross_entropy + self._quantile_weight * pinball, cross_entropy, pinball)

    def _row_weights(self, targets: Targets) -> Tensor:
        return targets.weight * self._class_weights[targets.action]


def pinball_loss(
    predicted: Tensor, returns: Tensor, weight: Tensor, levels: Tensor, *, total: Tensor | None = None
) -> Tensor:
    """Weighted mean quantile loss max(q e, (q - 1) e), e = return - prediction (Koenker & Bassett 1978).

    Args:
        predicted: float32 [B, H, Q].
        returns: float32 [B, H]; entries that are NaN do not count.
        weight: float32 [B].
        levels: float32 [Q].
        total: float32 [], what the sum over the known returns is divided by; None takes their weights' sum.
    """
    known = torch.isfinite(returns)
    error = torch.where(known, returns, 0.0).unsqueeze(-1) - predicted
    each = torch.maximum(levels * error, (levels - 1.0) * error).mean(dim=-1)
    share = weight.unsqueeze(-1) * known
    return (each * share).sum() / (share.sum() if total is None else total).clamp_min(1e-12)
