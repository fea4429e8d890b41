"""Optimiser and learning-rate schedule of the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from quantum_trader.train.network_config import NetworkTrainConfig

_PLATEAU_FACTOR = 0.5
_BATCHED_KERNEL = "gate"


class Optimiser:
    """AdamW with clipped gradients and one of two schedules.

    Args:
        model: the network whose weights it moves.
        config: step size, decay, clipping, schedule.
        steps_per_epoch: optimiser steps in an epoch.
    """

    def __init__(self, model: nn.Module, config: NetworkTrainConfig, *, steps_per_epoch: int) -> None:
        self._parameters = list(model.parameters())
        self._clip = config.grad_clip
        self.adam = AdamW(_groups(model, config.weight_decay), lr=config.learning_rate, fused=True)
        self.schedule: OneCycleLR | ReduceLROnPlateau
        if config.scheduler == "onecycle":
            self.schedule = OneCycleLR(
                self.adam, max_lr=config.learning_rate, total_steps=config.epochs * steps_per_epoch
            )
        else:
            self.schedule = ReduceLROnPlateau(
                self.adam, factor=_PLATEAU_FACTOR, patience=config.plateau_patience
            )

    @property
    def learning_rate(self) -> float:
        """The step size now."""
        return float(self.adam.param_groups[0]["lr"])

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients summed up since the last step."""
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

    def clip(self) -> Tensor:
        """Shorten the gradients to the largest norm; returns the norm they had, a scalar."""
        return torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)

    def step(self) -> None:
        """Move the weights, clear the gradients."""
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        if isinstance(self.schedule, OneCycleLR):
            self.schedule.step()

    def end_epoch(self, validation_loss: float) -> None:
        """Let the schedule see the epoch's result."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(validation_loss)

    def state(self) -> dict[str, object]:
        """Everything that `restore` needs, as tensors and plain values."""
        return {"adam": self.adam.state_dict(), "schedule": self.schedule.state_dict()}

    def restore(self, state: dict[str, dict[str, object]]) -> None:
        """Go on from a `state`."""
        self.adam.load_state_dict(state["adam"])
        self.schedule.load_state_dict(state["schedule"])


def _groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Kernels decay; biases, norms and the affine maps of scalars do not."""
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        last = name.rsplit(".", 1)[-1]
        is_kernel = parameter.dim() >= 2 and (last.startswith("weight") or last == _BATCHED_KERNEL)
        (kernels if is_kernel else others).append(parameter)
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
