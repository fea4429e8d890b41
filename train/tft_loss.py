"""The TFT's loss: weighted cross entropy of the decision plus pinball loss of the return quantiles."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from quantum_trader.agents.tft.model import TFTOutput


class Targets(NamedTuple):
    """What a batch is judged by."""

    action: Tensor
    """int64 [B]"""
    returns: Tensor
    """float32 [B, H], forward returns in units of `ReturnScale`; NaN where unknown."""
    weight: Tensor
    """float32 [B]"""


class Loss(NamedTuple):
    """A batch's loss and its parts, each a weighted mean over rows."""

    total: Tensor
    cross_entropy: Tensor
    pinball: Tensor


class TFTLoss:
    """Cross entropy + `quantile_weight` x pinball, rows weighed by sample weight x class weight.

    Args:
        quantiles: levels of the predicted quantiles.
        class_weights: the factor of HOLD, BUY, SELL; it touches the cross entropy only.
        quantile_weight: weight of the pinball loss.
        label_smoothing: share of each label spread over all classes.
    """

    def __init__(
        self,
        *,
        quantiles: tuple[float, ...],
        class_weights: tuple[float, ...],
        quantile_weight: float,
        label_smoothing: float,
    ) -> None:
        self._levels = torch.tensor(quantiles)
        self._class_weights = torch.tensor(class_weights, dtype=torch.float32)
        self._quantile_weight = quantile_weight
        self._smoothing = label_smoothing

    def __call__(self, output: TFTOutput, targets: Targets) -> Loss:
        """The loss of one batch."""
        each = functional.cross_entropy(
            output.logits, targets.action, reduction="none", label_smoothing=self._smoothing
        )
        weight = targets.weight * self._class_weights[targets.action]
        cross_entropy = (each * weight).sum() / weight.sum()
        pinball = pinball_loss(output.quantiles, targets.returns, targets.weight, self._levels)
        return Loss(cross_entropy + self._quantile_weight * pinball, cross_entropy, pinball)


def pinball_loss(predicted: Tensor, returns: Tensor, weight: Tensor, levels: Tensor) -> Tensor:
    """Weighted mean quantile loss max(q e, (q - 1) e), e = return - prediction (Koenker & Bassett 1978).

    Args:
        predicted: float32 [B, H, Q].
        returns: float32 [B, H]; entries that are NaN do not count.
        weight: float32 [B].
        levels: float32 [Q].
    """
    known = torch.isfinite(returns)
    error = torch.where(known, returns, 0.0).unsqueeze(-1) - predicted
    each = torch.maximum(levels * error, (levels - 1.0) * error).mean(dim=-1)
    share = weight.unsqueeze(-1) * known
    return (each * share).sum() / share.sum().clamp_min(1e-12)
