"""Exponential moving average of a network's weights: smoother than the last step, better on unseen rows."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """A copy of a network whose weights trail the original's.

    The decay starts low and rises to its full value, so that the random initial weights are soon forgotten:
    `min(decay, (1 + updates) / (10 + updates))`.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self.model: Network = copy.deepcopy(model).eval().requires_grad_(False)
        for module in self.model.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()  # cuDNN wants one block of memory, which copying took apart.
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._source = [parameter.detach() for parameter in model.parameters()]
        self._decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the averaged weights toward the current ones, after each optimiser step."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates)) if self._decay > 0 else 0.0
        torch._foreach_lerp_(self._averaged, self._source, 1.0 - decay)
        self.updates += 1

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs, as tensors and numbers."""
        return {"weights": self.model.state_dict(), "updates": self.updates}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.model.load_state_dict(state["weights"])
        self.updates = int(state["updates"])
