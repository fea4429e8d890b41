"""`TwoRatesPPO`: PPO whose pretrained network learns at a step size of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from stable_baselines3 import PPO
from torch.optim import Optimizer

_RATE = "rate"


class TwoRatesPPO(PPO):
    """PPO that keeps the ratio between the step sizes of parameter groups.

    Stable-Baselines3 sets every group of the optimiser to the one scheduled step size before each update;
    here that is multiplied by the group's own factor, see `split_rates`.
    """

    def _update_learning_rate(self, optimizers: list[Optimizer] | Optimizer) -> None:
        super()._update_learning_rate(optimizers)
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            for group in optimizer.param_groups:
                group["lr"] *= group.get(_RATE, 1.0)


def split_rates(policy: Any, pretrained: Iterable[torch.nn.Parameter], rate: float) -> None:
    """Give `pretrained` parameters of a policy `rate` times the step size of the others; momenta start anew.

    Args:
        policy: of a `TwoRatesPPO`.
        pretrained: those that know something already.
        rate: share of the scheduled step size.
    """
    slow = list(pretrained)
    known = {id(parameter) for parameter in slow}
    fast = [parameter for parameter in policy.parameters() if id(parameter) not in known]
    groups = [{"params": fast, _RATE: 1.0}, {"params": slow, _RATE: rate}]
    step = policy.optimizer.param_groups[0]["lr"]
    policy.optimizer = policy.optimizer_class(groups, lr=step, **policy.optimizer_kwargs)
