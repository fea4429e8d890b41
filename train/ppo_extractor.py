"""Stable-Baselines3 feature extractors around the trained TFT encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from quantum_trader.agents.ppo_network import StateEncoder
from quantum_trader.agents.tft.encoder import TFTEncoder
from quantum_trader.envs.errors import ConfigError


class TableExtractor(BaseFeaturesExtractor):
    """Reads `Dict(embedding, account)`: the frozen encoder's output was computed once per bar beforehand."""

    def __init__(self, observation_space: gym.spaces.Dict, *, account_hidden: int = 16) -> None:
        embedding, account = observation_space["embedding"], observation_space["account"]
        assert embedding.shape is not None
        assert account.shape is not None
        state = StateEncoder(
            embedding_size=embedding.shape[0], account_size=account.shape[0], account_hidden=account_hidden
        )
        super().__init__(observation_space, features_dim=state.output_size)
        self.state = state

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """[B, D] and [B, k] -> [B, features_dim]."""
        joined: Tensor = self.state(observations["embedding"], observations["account"])
        return joined


class TFTFeaturesExtractor(BaseFeaturesExtractor):
    """Runs the TFT encoder on each observed window, for any Stable-Baselines3 algorithm.

    `PPO("MultiInputPolicy", env, policy_kwargs={"features_extractor_class": TFTFeaturesExtractor,
    "features_extractor_kwargs": {"encoder": agent.model.encoder}})`.

    Stable-Baselines3 would undo a pretrained encoder in three ways, all handled here: `ortho_init=True`
    overwrites every linear layer of an extractor, `policy.train()` turns a frozen encoder's dropout back on,
    and an encoder shared by a network and its target network (DQN) is zeroed by the update of the latter.

    Args:
        observation_space: `Dict(window, account, context)` of the environment.
        encoder: a trained encoder; each extractor works on a copy and leaves this one as it is.
        account_hidden: width of the layer that reads the account.
        freeze: True keeps the encoder's weights; False fine-tunes them end to end.

    Raises:
        ConfigError: the observation space lacks window, account or context, or has another window length.
    """

    def __init__(
        self,
        observation_space: gym.spaces.Dict,
        *,
        encoder: TFTEncoder,
        account_hidden: int = 16,
        freeze: bool = True,
    ) -> None:
        spaces = getattr(observation_space, "spaces", {})
        missing = sorted({"window", "account", "context"} - set(spaces))
        if missing:
            raise ConfigError(
                "TFTFeaturesExtractor needs an environment that observes window, account and context, found "
                f"no {missing[0]}: make it with observe_account=True."
            )
        wanted, found = (encoder.config.window, encoder.config.features), spaces["window"].shape
        if found != wanted:
            raise ConfigError(f"TFTFeaturesExtractor: the encoder reads windows {wanted}, found {found}.")
        state = StateEncoder(
            embedding_size=encoder.embedding_size,
            account_size=spaces["account"].shape[0],
            account_hidden=account_hidden,
        )
        super().__init__(observation_space, features_dim=state.output_size)
        self.encoder = copy.deepcopy(encoder).requires_grad_(not freeze)
        self.state = state
        self.frozen = freeze
        self.train(self.training)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """[B, 60, 14], [B, k], [B, CONTEXT_SIZE] -> [B, features_dim]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            embedding = self.encoder(observations["window"], observations["context"]).embedding
        joined: Tensor = self.state(embedding, observations["account"])
        return joined

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays in evaluation mode: dropout would make its output random."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """Initialisers reach the new layers only, never the pretrained encoder."""
        self.state.apply(fn)
        return self
