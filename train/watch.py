"""Numbers that must stay finite, looked at without making a GPU wait."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quantum_trader.envs.errors import TrainingError


class FiniteWatch:
    """Stops training at the first number that is not finite.

    Reading a number makes a GPU finish everything it was given before. There, numbers are kept and read many
    at a time; the weights may have gone bad meanwhile, so `check` before anything is written.

    Args:
        every: how many numbers are read at a time.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._kept: list[tuple[Tensor, str, str]] = []

    def see(self, value: Tensor, what: str, remedy: str) -> None:
        """Keep `value`, a scalar, and check if enough are kept.

        Args:
            value: on any device.
            what: what it is and where, e.g. "The loss in epoch 1, batch 2".
            remedy: what to do if it is not finite.

        Raises:
            TrainingError: this or an earlier number is not finite.
        """
        self._kept.append((value.detach(), what, remedy))
        if len(self._kept) >= self._every:
            self.check()

    def check(self) -> None:
        """Look at all numbers kept.

        Raises:
            TrainingError: one is not finite; the first of them is named.
        """
        kept, self._kept = self._kept, []
        if not kept:
            return
        values = torch.stack([value for value, _, _ in kept]).tolist()
        for value, (_, what, remedy) in zip(values, kept, strict=True):
            if not math.isfinite(value):
                raise TrainingError(f"{what} is {value}: {remedy}.")
