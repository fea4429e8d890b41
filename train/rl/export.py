"""Takes the actor out of a trained model, so that serving it needs no training library."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.rl.config import Algorithm, RLConfig, can_export
from quantum_trader.train.rl.environment import env_config

TARGETS = (Action.SELL, Action.HOLD, Action.BUY)
"""What the environment's target actions 0, 1, 2 (short, none, long) are called here."""


def export_policy(model: BaseAlgorithm, algorithm: Algorithm, config: RLConfig) -> PolicyNetwork:
    """The actor of a model over a `TableExtractor` or a `TFTFeaturesExtractor`, as a plain torch module.

    DQN's and QR-DQN's logits are their action values, in units of the scaled reward.

    Raises:
        TrainingError: the algorithm's policy is recurrent.
    """
    if not can_export(algorithm):
        raise TrainingError(f"{algorithm} carries a memory from bar to bar, so it cannot be exported.")
    extractor, body, head = _parts(model.policy, algorithm)
    actions = env_config(config, algorithm).actions
    shape = PolicyShape(
        state_size=len(extractor.state.center),
        features=config.features,
        account_hidden=config.account_hidden,
        layers=tuple(layer.out_features for layer in body if isinstance(layer, nn.Linear)),
        actions="order" if actions == "order" else "target",
        head="gaussian" if algorithm == "sac" else "logits",
        masked=algorithm == "maskable_ppo",
    )
    # The weights it starts with are written over: drawing them must not change what training draws next.
    with torch.random.fork_rng(devices=[]):
        network = PolicyNetwork(shape)
    network.state.load_state_dict(extractor.state.state_dict())
    network.body.load_state_dict(body.state_dict())
    if actions == "target":
        head = {name: value[[TARGETS.index(action) for action in Action]] for name, value in head.items()}
    network.head.load_state_dict(head)
    return network.eval()


def _parts(policy: Any, algorithm: Algorithm) -> tuple[Any, nn.Sequential, dict[str, Tensor]]:
    """Extractor, hidden layers, and weight and bias of the last layer, one row per action."""
    if algorithm in ("ppo", "a2c", "maskable_ppo"):
        head = policy.action_net.state_dict()
        return policy.pi_features_extractor, policy.mlp_extractor.policy_net, head
    if algorithm == "sac":
        actor = policy.actor
        rows = [actor.mu, actor.log_std]
        head = {name: torch.cat([getattr(row, name) for row in rows]).detach() for name in ("weight", "bias")}
        return actor.features_extractor, actor.latent_pi, head
    network = policy.quantile_net if algorithm == "qrdqn" else policy.q_net
    layers = network.quantile_net if algorithm == "qrdqn" else network.q_net
    last = layers[-1].state_dict()
    if algorithm == "qrdqn":
        # Rows lie quantile by quantile, actions within; the mean over quantiles is linear in them.
        last = {
            name: value.reshape(-1, len(Action), *value.shape[1:]).mean(dim=0) for name, value in last.items()
        }
    return network.features_extractor, layers[:-1], last
