"""Takes the actor out of a stable-baselines3 policy, so that serving it needs no training library."""

from __future__ import annotations

from typing import Any

import torch

from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.envs.observe import ACCOUNT_SIZE
from quantum_trader.train.ppo_config import PPOConfig


def export_policy(policy: Any, config: PPOConfig) -> PolicyNetwork:
    """The actor of a stable-baselines3 policy over a `TableExtractor`, as a plain torch module."""
    extractor = policy.features_extractor
    # The weights it starts with are written over: drawing them must not change what training draws next.
    with torch.random.fork_rng(devices=[]):
        network = PolicyNetwork(
            embedding_size=extractor.state.embedding_norm.normalized_shape[0],
            account_size=ACCOUNT_SIZE,
            account_hidden=config.account_hidden,
            layers=config.layers,
        )
    network.state.load_state_dict(extractor.state.state_dict())
    network.body.load_state_dict(policy.mlp_extractor.policy_net.state_dict())
    network.head.load_state_dict(policy.action_net.state_dict())
    return network.eval()
