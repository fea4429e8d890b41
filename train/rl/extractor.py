"""Stable-Baselines3 feature extractors: on a table of encoder outputs, and with the TFT encoder inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Self

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.policy_network import StateEncoder
from quantum_trader.agents.policy_state import policy_state, state_size
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.blocks import SequenceDropout
from quantum_trader.agents.tft.precision import Precision, autocast, use_bf16
from quantum_trader.agents.tft.selection import ScalarGRNs
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.train.rl.distinct import distinct_rows


class TableExtractor(BaseFeaturesExtractor):
    """Reads `Dict(embedding, account)`: the frozen encoder's output was computed once per bar beforehand."""

    def __init__(self, observation_space: gym.spaces.Dict, *, account_hidden: int = 16) -> None:
        table, account = observation_space["embedding"], observation_space["account"]
        assert table.shape is not None
        assert account.shape is not None
        state = StateEncoder(
            state_size=table.shape[0], account_size=account.shape[0], account_hidden=account_hidden
        )
        super().__init__(observation_space, features_dim=state.output_size)
        self.state = state

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """[B, S] and [B, k] -> [B, features_dim]."""
        joined: Tensor = self.state(observations["embedding"], observations["account"])
        return joined


class TFTFeaturesExtractor(BaseFeaturesExtractor):
    """Runs a trained TFT on each observed window, for any Stable-Baselines3 algorithm.

    `PPO("MultiInputPolicy", env, policy_kwargs={"features_extractor_class": TFTFeaturesExtractor,
    "features_extractor_kwargs": {"tft": TFTAgent.load("runs/mine/models/tft")}})`.

    Stable-Baselines3 would undo a pretrained encoder in four ways, all handled here: `ortho_init=True`
    overwrites every linear layer of an extractor; `policy.train()` turns a frozen encoder's dropout back on,
    which also breaks PPO's probability ratios while fine-tuning; an encoder shared by a network and its
    target network (DQN) is zeroed by the update of the latter; and `learn()` gives every parameter the same
    step size, for which see `quantum_trader.train.rl.rates`.

    Windows that occur several times in a batch, as they do where accounts share bars, are encoded once.

    Args:
        observation_space: `Dict(window, account, context)` of the environment.
        tft: a trained agent; each extractor works on a copy of its network and leaves it as it is.
        features: what the policy is told: the embedding ("encoder"), what the heads make of it ("outputs"),
            or "both".
        account_hidden: width of the layer that reads the account.
        freeze: True keeps the network's weights; False fine-tunes them end to end.
        dropout: True leaves the dropout in while fine-tuning.
        precision: "auto" runs the encoder in bfloat16 where the machine has it natively.

    Raises:
        ConfigError: the observation space lacks window, account or context, or has another window shape; or
            the agent was trained on another feature set.
    """

    def __init__(
        self,
        observation_space: gym.spaces.Dict,
        *,
        tft: TFTAgent,
        features: PolicyFeatures = "encoder",
        account_hidden: int = 16,
        freeze: bool = True,
        dropout: bool = False,
        precision: Precision = "auto",
    ) -> None:
        spaces = getattr(observation_space, "spaces", {})
        missing = sorted({"window", "account", "context"} - set(spaces))
        if missing:
            raise ConfigError(
                "TFTFeaturesExtractor needs an environment that observes window, account and context, found "
                f"no {missing[0]}: make it with observe_account=True."
            )
        config, found = tft.model.config, spaces["window"].shape
        wanted = (config.window, config.features)
        if found != wanted:
            raise ConfigError(f"TFTFeaturesExtractor: the encoder reads windows {wanted}, found {found}.")
        if tft.provenance.feature_set != FEATURE_SET_VERSION:
            raise ConfigError(
                f"TFTFeaturesExtractor: the encoder was trained on feature set {tft.provenance.feature_set}, "
                f"the environment shows {FEATURE_SET_VERSION}: train the TFT again."
            )
        state = StateEncoder(
            state_size=state_size(tft.model, features),
            account_size=spaces["account"].shape[0],
            account_hidden=account_hidden,
        )
        super().__init__(observation_space, features_dim=state.output_size)
        self.network = copy.deepcopy(tft.model).requires_grad_(not freeze)
        self.state = state
        self.features: PolicyFeatures = features
        self.frozen = freeze
        self._return_scale = tft.return_scale
        self._precision: Precision = precision
        if not dropout:
            _silence_dropout(self.network)
        self.train(self.training)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """[B, 60, 14], [B, k], [B, CONTEXT_SIZE] -> [B, features_dim]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            market = self.market(observations["window"], observations["context"])
        joined: Tensor = self.state(market, observations["account"])
        return joined

    def market(self, windows: Tensor, context: Tensor) -> Tensor:
        """float32 [B, S]: what the policy is told of each window."""
        distinct = distinct_rows(windows, context)
        windows, context = windows[distinct.rows], context[distinct.rows]
        unit = torch.from_numpy(self._return_scale.of(windows.detach().cpu().numpy())).to(windows.device)
        device = windows.device.type
        with autocast(use_bf16(self._precision, device), device):
            encoded = self.network.encoder(windows, context)
        return policy_state(self.network, encoded, unit, self.features)[distinct.place]

    def train(self, mode: bool = True) -> Self:
        """A frozen network stays in evaluation mode: dropout would make its output random."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def apply(self, fn: Callable[[nn.Module], None]) -> Self:
        """Initialisers reach the new layers only, never the pretrained network."""
        self.state.apply(fn)
        return self


def _silence_dropout(network: nn.Module) -> None:
    """Without dropout in any mode; evaluation mode would not do, since CUDA's LSTM cannot learn in it."""
    for module in network.modules():
        if isinstance(module, (SequenceDropout, ScalarGRNs)):
            module.rate = 0.0
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.LSTM):
            module.dropout = 0.0
