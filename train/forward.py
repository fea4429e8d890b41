"""A batch of a dataset through a network, on any device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.network import Network, NetworkOutput
from quantum_trader.agents.tft.precision import Precision, autocast, use_bf16
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.train.device import place
from quantum_trader.train.mirrored import RowSource
from quantum_trader.train.network_loss import Targets


class Forward:
    """Takes rows to a device, through a network, and their labels with them.

    Args:
        device: where the network is.
        precision: "auto" multiplies in bfloat16 where the device does so natively.
        return_scale: unit of the returns.
    """

    def __init__(self, device: torch.device, *, precision: Precision, return_scale: ReturnScale) -> None:
        self._device, self._scale = device, return_scale
        self._bf16 = use_bf16(precision, device.type)

    def __call__(
        self, network: Network, source: RowSource, rows: NDArray[np.int64]
    ) -> tuple[NetworkOutput, Targets]:
        """What the network answers on `rows`, int64 [B], and what they are judged by."""
        batch, device = source.batch(rows), self._device
        with autocast(self._bf16, device.type):
            output = network(place(batch.windows, device), place(batch.context, device))
        targets = Targets(
            action=place(batch.action, device),
            returns=place(batch.returns / self._scale.of(batch.windows), device),
            weight=place(batch.weight, device),
        )
        return output, targets
