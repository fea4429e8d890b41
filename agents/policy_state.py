"""What a policy is told of the market: the TFT encoder's output, the answers of its heads, or both."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor

from quantum_trader.agents.network import EncoderOutput, Network
from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError

_ODDS = 2

FIRST_MEDIAN = _ODDS
"""Column of the outputs with the median of the first horizon."""


def state_size(network: Network, features: PolicyFeatures) -> int:
    """Numbers of a policy state.

    Raises:
        ConfigError: unknown `features`.
    """
    if features not in get_args(PolicyFeatures):
        known = ", ".join(get_args(PolicyFeatures))
        raise ConfigError(f"features: expected one of {known}, found {features!r}.")
    heads = _ODDS + 2 * len(network.config.horizons)
    sizes = {"encoder": network.embedding_size, "outputs": heads, "both": network.embedding_size + heads}
    return sizes[features]


def policy_state(network: Network, encoded: EncoderOutput, unit: Tensor, features: PolicyFeatures) -> Tensor:
    """float32 [B, S]: the state of each observation.

    Columns of the outputs: ln P(BUY)/P(SELL); ln P(HOLD) minus the mean of the other two logarithms; the
    median forward log return at each horizon, in percent; Q90 - Q10 at each horizon, in percent.

    Args:
        network: whose heads answer, in float32.
        encoded: what its encoder made of `B` observations.
        unit: float32 [B, H], log return per unit of predicted quantile (`ReturnScale.of`).
        features: which columns.
    """
    if features == "encoder":
        return encoded.embedding.float()
    with torch.autocast(encoded.embedding.device.type, enabled=False):
        embedding = encoded.embedding.float()
        logits = network.decide(embedding)
        quantiles = network.quantiles(encoded.outputs.float()) * (100.0 * unit)[:, :, None]
    buy, sell = logits[:, Action.BUY], logits[:, Action.SELL]
    odds = torch.stack([buy - sell, logits[:, Action.HOLD] - (buy + sell) / 2], dim=1)
    middle = quantiles.shape[2] // 2
    told = torch.cat([odds, quantiles[:, :, middle], quantiles[:, :, -1] - quantiles[:, :, 0]], dim=1)
    return told if features == "outputs" else torch.cat([embedding, told], dim=1)
