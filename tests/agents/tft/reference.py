"""The TFT's blocks as the paper writes them, slow and literal, to compare the folded ones with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class TextbookGRN(nn.Module):
    """GRN of Lim et al. 2021, equations 2 to 5, without dropout."""

    def __init__(self, inputs: int, hidden: int, outputs: int, context: int | None = None) -> None:
        super().__init__()
        self.eta2 = nn.Linear(inputs, hidden)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        self.eta1 = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, outputs)
        self.value = nn.Linear(hidden, outputs)
        self.skip = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()
        self.norm = nn.LayerNorm(outputs)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """[..., inputs] -> [..., outputs]; the context has the shape of the inputs but for its last axis."""
        hidden = self.eta2(inputs)
        if self.context is not None:
            hidden = hidden + self.context(context)
        hidden = self.eta1(functional.elu(hidden))
        gated = torch.sigmoid(self.gate(hidden)) * self.value(hidden)
        return self.norm(self.skip(inputs) + gated)

    def gate_kernel(self) -> tuple[Tensor, Tensor]:
        """The linear layer after the ELU folded into the gated linear unit: weight [2 out, hidden], bias."""
        both = torch.cat([self.value.weight, self.gate.weight])
        bias = torch.cat([self.value.bias, self.gate.bias])
        return both @ self.eta1.weight, both @ self.eta1.bias + bias


class TextbookSelection(nn.Module):
    """Variable selection, equations 6 to 8: embeddings, a GRN a variable, a GRN for the weights."""

    def __init__(self, variables: int, hidden: int, context: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Linear(1, hidden) for _ in range(variables))
        self.grns = nn.ModuleList(TextbookGRN(hidden, hidden, hidden) for _ in range(variables))
        self.weigh = TextbookGRN(variables * hidden, hidden, variables, context)

    def forward(self, values: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, V] and [B, C] -> [B, T, D] and [B, T, V]."""
        embedded = [layer(values[..., v : v + 1]) for v, layer in enumerate(self.embeddings)]
        steps = context.unsqueeze(1).expand(-1, values.shape[1], -1)
        weights = torch.softmax(self.weigh(torch.cat(embedded, dim=-1), steps), dim=-1)
        processed = torch.stack([grn(item) for grn, item in zip(self.grns, embedded, strict=True)], dim=-2)
        return (weights.unsqueeze(-1) * processed).sum(dim=-2), weights


class TextbookAttention(nn.Module):
    """Interpretable multi-head attention, equations 13 to 16: every head pools, then heads are averaged."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        size = hidden // heads
        self.queries = nn.ModuleList(nn.Linear(hidden, size) for _ in range(heads))
        self.keys = nn.ModuleList(nn.Linear(hidden, size) for _ in range(heads))
        self.value = nn.Linear(hidden, size)
        self.out = nn.Linear(size, hidden, bias=False)

    def forward(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] and mask [T, T] -> [B, T, D] and weights [B, T, T] averaged over heads."""
        heads, weights = [], []
        for query, key in zip(self.queries, self.keys, strict=True):
            scores = query(inputs) @ key(inputs).transpose(1, 2) / math.sqrt(query.out_features)
            attention = torch.softmax(scores + mask, dim=-1)
            heads.append(attention @ self.value(inputs))
            weights.append(attention)
        return self.out(torch.stack(heads).mean(dim=0)), torch.stack(weights).mean(dim=0)
