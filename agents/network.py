"""`Network`: an encoder of windows with a decision head and a quantile head on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quantum_trader.agents.network_config import NetworkConfig
from quantum_trader.agents.tft.heads import DecisionHead, QuantileHead


class EncoderOutput(NamedTuple):
    """What an encoder makes of `B` observations."""

    outputs: Tensor
    """[B, H, D], one vector per horizon."""
    embedding: Tensor
    """[B, D], the vector of the decision horizon."""
    attention: Tensor
    """float32 [B, 60], where the decision position looks, averaged over heads; rows sum to 1. Bars that the
    network does not look at have 0."""
    importances: Tensor | None = None
    """float32 [B, 60, 14], weight of each feature bar by bar, rows sum to 1, those of bars that the network
    does not look at to 0; None if there is none."""
    static_importances: Tensor | None = None
    """float32 [B, S], weight of each static number, rows sum to 1; None if there is none."""


class NetworkOutput(NamedTuple):
    """What a network answers for `B` observations."""

    logits: Tensor
    """float32 [B, 3], columns in the order of `Action`."""
    quantiles: Tensor
    """float32 [B, H, Q], quantiles of the forward return in units of `ReturnScale`, ascending."""
    attention: Tensor
    """float32 [B, 60], weight of each bar; rows sum to 1."""
    importances: Tensor | None
    """float32 [B, 60, 14], weight of each feature bar by bar, as in `EncoderOutput`, or None."""
    static_importances: Tensor | None
    """float32 [B, S], weight of each static number, rows sum to 1; None if there is none."""
    embedding: Tensor
    """float32 [B, D], the encoder's output for the decision."""


class Network(nn.Module):
    """An encoder, a decision head on its embedding and a quantile head on its output of each horizon.

    Args:
        config: shape of inputs and outputs.
        encoder: windows float32 [B, 60, 14] and context float32 [B, C] -> `EncoderOutput` of width D.
        embedding_size: D.
    """

    def __init__(self, config: NetworkConfig, encoder: nn.Module, embedding_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.embedding_size = embedding_size
        self.decide = DecisionHead(embedding_size)
        self.quantiles = QuantileHead(embedding_size, len(config.quantiles))

    def forward(self, windows: Tensor, context: Tensor) -> NetworkOutput:
        """Windows float32 [B, 60, 14] and context float32 [B, C] -> logits, quantiles and explanations."""
        return self.answer(self.encoder(windows, context))

    def answer(self, encoded: EncoderOutput) -> NetworkOutput:
        """The heads alone, in float32 whatever precision the encoder ran in."""
        with torch.autocast(encoded.embedding.device.type, enabled=False):
            return NetworkOutput(
                logits=self.decide(encoded.embedding),
                quantiles=self.quantiles(encoded.outputs),
                attention=encoded.attention,
                importances=encoded.importances,
                static_importances=encoded.static_importances,
                embedding=encoded.embedding,
            )


def newest_bars(windows: Tensor, config: NetworkConfig) -> Tensor:
    """[B, 60, F] -> [B, `config.bars_seen`, F]: the bars that the network looks at."""
    return windows if config.bars_seen == config.window else windows[:, -config.bars_seen :]


def all_bars(weights: Tensor, config: NetworkConfig) -> Tensor:
    """[B, `config.bars_seen`, ...] -> [B, 60, ...]: weights of bars, 0 for those not looked at."""
    unseen = config.window - weights.shape[1]
    if unseen == 0:
        return weights
    return torch.cat([weights.new_zeros((weights.shape[0], unseen, *weights.shape[2:])), weights], dim=1)


def mean_importances(importances: Tensor, config: NetworkConfig) -> Tensor:
    """[B, 60, 14] -> [B, 14]: mean over the bars that the network looks at; rows sum to 1."""
    return newest_bars(importances, config).mean(dim=1)


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
