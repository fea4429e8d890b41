"""`TFT`: encoder and heads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.encoder import EncoderOutput, TFTEncoder
from quantum_trader.agents.tft.heads import DecisionHead, QuantileHead


class TFTOutput(NamedTuple):
    """What the network answers for `B` observations."""

    logits: Tensor
    """float32 [B, 3], columns in the order of `Action`."""
    quantiles: Tensor
    """float32 [B, H, Q], quantiles of the forward return in units of `ReturnScale`, ascending."""
    attention: Tensor
    """float32 [B, 60], weight of each bar; rows sum to 1."""
    importances: Tensor
    """float32 [B, 60, 14], weight of each feature bar by bar; rows sum to 1."""
    static_importances: Tensor
    """float32 [B, S], weight of each static number; rows sum to 1."""
    embedding: Tensor
    """float32 [B, D], the encoder's output for the decision."""


class TFT(nn.Module):
    """Temporal Fusion Transformer with a decision head and a quantile head."""

    def __init__(self, config: TFTConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TFTEncoder(config)
        self.decide = DecisionHead(config.hidden)
        self.quantiles = QuantileHead(config.hidden, len(config.quantiles))

    def forward(self, windows: Tensor, context: Tensor) -> TFTOutput:
        """Windows float32 [B, 60, 14] and context float32 [B, C] -> logits, quantiles and explanations."""
        return self.answer(self.encoder(windows, context))

    def answer(self, encoded: EncoderOutput) -> TFTOutput:
        """The heads alone, in float32 whatever precision the encoder ran in."""
        with torch.autocast(encoded.embedding.device.type, enabled=False):
            return TFTOutput(
                logits=self.decide(encoded.embedding),
                quantiles=self.quantiles(encoded.outputs),
                attention=encoded.attention,
                importances=encoded.importances,
                static_importances=encoded.static_importances,
                embedding=encoded.embedding,
            )


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers of `module`."""
    return sum(parameter.numel() for parameter in module.parameters())
