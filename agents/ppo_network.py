"""The PPO policy's network, apart from any training library: encoder output and account in, logits out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StateEncoder(nn.Module):
    """Joins the TFT encoder's output with the account: cat(LayerNorm(embedding), tanh(W account)).

    The layer norm puts the embedding on the scale of the account branch whatever encoder produced it.
    """

    def __init__(self, *, embedding_size: int, account_size: int, account_hidden: int) -> None:
        super().__init__()
        self.embedding_norm = nn.LayerNorm(embedding_size)
        self.account_net = nn.Sequential(nn.Linear(account_size, account_hidden), nn.Tanh())
        self.output_size = embedding_size + account_hidden

    def forward(self, embedding: Tensor, account: Tensor) -> Tensor:
        """[B, D] and [B, k] -> [B, D + account_hidden]."""
        joined: Tensor = torch.cat([self.embedding_norm(embedding), self.account_net(account)], dim=-1)
        return joined


class PolicyNetwork(nn.Module):
    """Actor of the PPO policy: `StateEncoder`, tanh layers, one logit per action."""

    def __init__(
        self, *, embedding_size: int, account_size: int, account_hidden: int, layers: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.state = StateEncoder(
            embedding_size=embedding_size, account_size=account_size, account_hidden=account_hidden
        )
        self.body = nn.Sequential()
        width = self.state.output_size
        for layer in layers:
            self.body.append(nn.Linear(width, layer))
            self.body.append(nn.Tanh())
            width = layer
        self.head = nn.Linear(width, 3)

    def forward(self, embedding: Tensor, account: Tensor) -> Tensor:
        """[B, D] and [B, k] -> logits [B, 3] in the order of `Action`."""
        logits: Tensor = self.head(self.body(self.state(embedding, account)))
        return logits
