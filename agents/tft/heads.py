"""The two heads: class logits for the decision, and return quantiles that cannot cross."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantum_trader.agents.row_linear import RowLinear
from quantum_trader.agents.tft.init import init_linear
from quantum_trader.envs.actions import Action


class DecisionHead(nn.Module):
    """Logits of HOLD, BUY, SELL from the embedding."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = RowLinear(hidden, len(Action))
        init_linear(self.linear)

    def forward(self, embedding: Tensor) -> Tensor:
        """[B, D] -> [B, 3], columns in the order of `Action`."""
        logits: Tensor = self.linear(embedding)
        return logits


class QuantileHead(nn.Module):
    """The median, and softplus steps up and down from it: ordered for any weights."""

    def __init__(self, hidden: int, quantiles: int) -> None:
        super().__init__()
        self.middle = quantiles // 2
        self.linear = RowLinear(hidden, quantiles)
        init_linear(self.linear)

    def forward(self, outputs: Tensor) -> Tensor:
        """[B, H, D] -> [B, H, Q], ascending along Q."""
        raw = self.linear(outputs)
        median = raw[..., self.middle : self.middle + 1]
        below = functional.softplus(raw[..., : self.middle]).flip(-1).cumsum(-1).flip(-1)
        above = functional.softplus(raw[..., self.middle + 1 :]).cumsum(-1)
        return torch.cat([median - below, median, median + above], dim=-1)
