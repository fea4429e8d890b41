"""Interpretable multi-head attention: heads differ in what they look for, but share one value projection."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from quantum_trader.agents.tft.blocks import SequenceDropout
from quantum_trader.agents.tft.init import init_linear


class Attended(NamedTuple):
    """What attention passes on."""

    features: Tensor
    """[B, Q, D]"""
    weights: Tensor
    """float32 [B, Q, K], averaged over heads; rows sum to 1."""


class InterpretableAttention(nn.Module):
    """Mean over heads of softmax(q_h k_h / sqrt(d)) applied to one shared value projection.

    Only the positions that are read are queried. Two identities keep the cost linear in the keys: the key
    projection is applied to the query instead (q . W k = (W^T q) . k), and since the value projection is
    shared and linear, the averaged weights pool the raw features first and the projections follow. A key
    bias would shift all scores of a query alike, which a softmax does not see, so there is none.
    """

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.size = hidden // heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, self.size)
        self.out = nn.Linear(self.size, hidden, bias=False)
        self.dropout = SequenceDropout(dropout)
        for layer in (self.query, self.key, self.value, self.out):
            init_linear(layer)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Attended:
        """Attend from some positions to all.

        Args:
            queries: [B, Q, D].
            keys: [B, K, D].
            mask: float32 [Q, K], 0 where a query may look, -inf where not.
        """
        batch, asked, hidden = queries.shape
        split = self.query(queries).view(batch, asked, self.heads, self.size)
        per_head = self.key.weight.view(self.heads, self.size, hidden).to(split.dtype)
        folded = torch.einsum("bqhs,hsd->bqhd", split, per_head).reshape(batch, asked * self.heads, hidden)
        scores = torch.bmm(folded, keys.to(folded.dtype).transpose(1, 2)).float() / math.sqrt(self.size)
        scores = scores.view(batch, asked, self.heads, -1) + mask.unsqueeze(1)
        weights = torch.softmax(scores, dim=-1).mean(dim=2)
        pooled = torch.bmm(weights.to(keys.dtype), keys)
        return Attended(features=self.out(self.dropout(self.value(pooled))), weights=weights)
