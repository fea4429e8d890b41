"""The PPO policy in service: exported weights, the TFT encoder in front, no training library needed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from quantum_trader.agents.folder import (
    ModelFolder,
    Provenance,
    load_model_folder,
    save_model_folder,
)
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.files import atomic_folder
from quantum_trader.envs.observe import ACCOUNT_SIZE, flat_account

KIND = "ppo"
WEIGHTS = "policy.safetensors"
ENCODER = "encoder"


class PPOAgent(LiveAgent):
    """A trained policy: action probabilities from the encoder's output and the account.

    Args:
        network: the policy's actor.
        tft: the agent whose encoder the policy was trained on.
        folder: where it was loaded from; None for one just trained.
    """

    name = KIND
    calibration = None

    def __init__(self, network: PolicyNetwork, tft: TFTAgent, *, folder: ModelFolder | None = None) -> None:
        self.network = network.eval()
        self.tft = tft
        self.scaler = tft.scaler
        self.model_hash = folder.sha256 if folder else ""

    def probabilities(
        self, embedding: NDArray[np.float32], account: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Action probabilities.

        Args:
            embedding: float32 [B, D], the encoder's output.
            account: float32 [B, k]; None stands for a flat account.

        Returns:
            float32 [B, 3] in the order of `Action`.
        """
        if account is None:
            account = np.tile(flat_account(), (len(embedding), 1))
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(embedding), torch.from_numpy(account))
            return np.asarray(torch.softmax(logits, dim=-1).numpy())

    def act(self, embedding: NDArray[np.float32], account: NDArray[np.float32]) -> NDArray[np.int8]:
        """int8 [B]: the most probable action of each row."""
        return np.asarray(np.argmax(self.probabilities(embedding, account), axis=1), dtype=np.int8)

    def signals(self, inputs: ModelInputs) -> Signals:
        """Action probabilities of each row, by way of one encoder pass."""
        encoded, embedding = self.tft.signals_and_embedding(inputs)
        return Signals(
            probabilities=self.probabilities(embedding, inputs.account),
            attention=encoded.attention,
            importances=encoded.importances,
        )

    def save(self, path: Path, *, provenance: Provenance, encoder_folder: Path) -> None:
        """Write the model folder, with a copy of the encoder's own folder inside."""
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        encoder = load_model_folder(encoder_folder, kind="tft")
        with atomic_folder(path) as staged:
            save_model_folder(
                staged,
                kind=KIND,
                config=_shape_of(self.network),
                scaler=self.scaler,
                calibration=None,
                provenance=provenance,
                files={WEIGHTS: lambda target: save_file(state, target)},
                extra={"encoder_sha256": encoder.sha256},
            )
            shutil.copytree(encoder_folder, staged / ENCODER)

    @classmethod
    def load(cls, path: Path | str, *, tft: TFTAgent | None = None) -> Self:
        """Load a model folder.

        Args:
            path: the folder.
            tft: an agent already loaded; used instead of the folder's own copy of the encoder when it is the
                same model, so that both share one encoder pass.

        Raises:
            ModelFolderError: the folder is missing, damaged, foreign or newer.
        """
        path = Path(path)
        folder = load_model_folder(path, kind=KIND)
        wanted = folder.extra.get("encoder_sha256")
        if tft is None or tft.model_hash != wanted:
            tft = TFTAgent.load(path / ENCODER)
        if tft.model_hash != wanted:
            raise ModelFolderError(
                f"{path / ENCODER} is not the encoder this policy was trained on: copy it anew."
            )
        try:
            network = _network(folder.config)
            network.load_state_dict(load_file(folder.file(WEIGHTS)))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelFolderError(
                f"{path} does not fit its own config ({reason}): train it again."
            ) from error
        return cls(network, tft, folder=folder)

    load_model = load

    def _choose(self, signals: Signals, row: int) -> tuple[Action, str]:
        """A policy's HOLD means "leave the position": its own most probable action decides."""
        if not np.isfinite(signals.probabilities[row]).all():
            return Action.HOLD, "the model's output is not a number"
        return Action(int(signals.actions[row])), "the policy's most probable action"


def _shape_of(network: PolicyNetwork) -> dict[str, object]:
    account = network.state.account_net[0]
    assert isinstance(account, torch.nn.Linear)
    widths = [layer.out_features for layer in network.body if isinstance(layer, torch.nn.Linear)]
    return {
        "embedding_size": network.state.embedding_norm.normalized_shape[0],
        "account_size": account.in_features,
        "account_hidden": account.out_features,
        "layers": widths,
    }


def _network(config: dict[str, Any]) -> PolicyNetwork:
    if config.get("account_size") != ACCOUNT_SIZE:
        raise ValueError(f"expected {ACCOUNT_SIZE} account numbers, found {config.get('account_size')}")
    # Loading a model leaves the caller's random numbers as they were.
    with torch.random.fork_rng(devices=[]):
        return PolicyNetwork(**{**config, "layers": tuple(config["layers"])})
