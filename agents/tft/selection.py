"""Variable selection: a GRN for every scalar variable, and a softmax over what passes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from quantum_trader.agents.tft.blocks import GRN, dropout_mask
from quantum_trader.agents.tft.init import glorot
from quantum_trader.agents.tft.knots import KnotTable


class Selected(NamedTuple):
    """What variable selection passes on."""

    features: Tensor
    """[B, T, D]"""
    weights: Tensor
    """float32 [B, T, V], how much of each variable passed; rows sum to 1."""


class ScalarGRNs(nn.Module):
    """One GRN per scalar variable, all of them run as one batched product.

    A variable enters through an embedding x -> x w + b followed by its GRN. Both the embedding's product with
    the GRN's first layer and the skip are affine in the scalar, so they are kept as that: a slope and an
    offset per unit. The variable index leads in every tensor: [V, B * T, D].
    """

    def __init__(self, variables: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.rate = dropout
        self.first = nn.Parameter(torch.empty(variables, 2, hidden))
        self.skip = nn.Parameter(torch.empty(variables, 2, hidden))
        self.gate = nn.Parameter(torch.empty(variables, hidden, 2 * hidden))
        self.gate_bias = nn.Parameter(torch.zeros(variables, 1, 2 * hidden))
        self.scale = nn.Parameter(torch.ones(variables, 1, hidden))
        self.shift = nn.Parameter(torch.zeros(variables, 1, hidden))
        self._init_weights(hidden)

    def _init_weights(self, hidden: int) -> None:
        """Offsets of the first layer are spread so that the units bend at different values of the scalar."""
        glorot(self.gate, fan_in=hidden, fan_out=hidden)
        with torch.no_grad():
            for weight in (self.first, self.skip):
                nn.init.uniform_(weight[:, 0], -1.0, 1.0)
                nn.init.uniform_(weight[:, 1], -1.0, 1.0)

    def forward(self, values: Tensor) -> Tensor:
        """Scalars [B, T, V] -> layer-normed outputs before their `scale` and `shift`, [V, B * T, D]."""
        batch, steps, variables = values.shape
        affine = torch.stack([values, torch.ones_like(values)], dim=-1).permute(2, 0, 1, 3)
        flat = affine.reshape(variables, batch * steps, 2)
        first: Tensor = self.first
        gate: Tensor = self.gate
        if self.training and self.rate > 0.0:
            # ELU(0) = 0: a unit without slope and offset is a dropped one. No pass over the data is needed.
            mask = dropout_mask((variables, batch, 1, first.shape[-1]), self.rate, values)
            hidden = torch.matmul(affine, first.unsqueeze(1) * (mask > 0)).flatten(1, 2)
            gate = gate / (1.0 - self.rate)
        else:
            hidden = torch.bmm(flat, first)
        gated = functional.glu(torch.baddbmm(self.gate_bias, functional.elu(hidden), gate), dim=-1)
        skip = self.skip.to(gated.dtype)
        added = torch.baddbmm(gated, flat.to(gated.dtype), skip)
        return functional.layer_norm(added, added.shape[-1:])


class VariableSelection(nn.Module):
    """Weights each variable's GRN output by a softmax that sees all variables and the static context.

    The weights come from a GRN on the concatenated embeddings; these are affine in the scalars, so a GRN on
    the scalars with a learned skip is the same function.

    Args:
        variables: number of scalars V.
        hidden: width D.
        dropout: share of units switched off in training.
        context: width of the static context, None where there is none.
        knots: 0 runs the GRNs on every scalar; otherwise they run on so many knots and their outputs are
            interpolated in between (see `KnotTable`).
    """

    def __init__(
        self, variables: int, hidden: int, *, dropout: float, context: int | None = None, knots: int = 0
    ) -> None:
        super().__init__()
        self.grns = ScalarGRNs(variables, hidden, dropout)
        self.weigh = GRN(variables, hidden, variables, dropout=dropout, context=context, project_skip=True)
        self.table = KnotTable(self.grns, knots) if knots else None

    def forward(self, values: Tensor, context: Tensor | None = None) -> Selected:
        """Scalars [B, T, V] and context [B, C] -> features [B, T, D] and weights [B, T, V]."""
        batch, steps, variables = values.shape
        weights = torch.softmax(self.weigh(values, context).float(), dim=-1)
        shares = weights.reshape(batch * steps, variables)
        if self.table is not None:
            mixed = self.table(values.reshape(batch * steps, variables), shares)
        else:
            mixed = self._mixed(self.grns(values), shares)
        return Selected(features=mixed.view(batch, steps, -1), weights=weights)

    def _mixed(self, normed: Tensor, shares: Tensor) -> Tensor:
        """Sum over v of share_v * (scale_v * normed_v + shift_v), as one product per step: [B * T, D]."""
        shares = shares.to(normed.dtype)
        scaled = (normed * self.grns.scale.to(normed.dtype)).transpose(0, 1)
        mixed = torch.bmm(shares.unsqueeze(1), scaled).squeeze(1)
        return torch.addmm(mixed, shares, self.grns.shift[:, 0].to(mixed.dtype))
