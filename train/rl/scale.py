"""Standardisation of what a policy is told, fitted on training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quantum_trader.agents.policy_network import StateEncoder
from quantum_trader.train.rl.table import EncodedMarket

Floats32 = NDArray[np.float32]


def fit_scale(markets: Sequence[EncodedMarket]) -> tuple[Floats32, Floats32]:
    """Mean and deviation of each column over all usable bars, float32 [S] each; a constant counts as 1."""
    count, total, squares = 0, 0.0, 0.0
    for item in markets:
        rows = item.table[item.market.usable].astype(np.float64)
        count += len(rows)
        total = total + rows.sum(axis=0)
        squares = squares + (rows**2).sum(axis=0)
    center = np.asarray(total) / count
    scale = np.sqrt(np.maximum(np.asarray(squares) / count - center**2, 0.0))
    return center.astype(np.float32), np.where(scale > 1e-6, scale, 1.0).astype(np.float32)


def set_scale(policy: nn.Module, center: Floats32, scale: Floats32) -> None:
    """Put it into every `StateEncoder` of a policy, those of critics and target networks included."""
    for module in policy.modules():
        if isinstance(module, StateEncoder):
            module.set_scale(center, scale)
