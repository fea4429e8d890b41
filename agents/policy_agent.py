"""A trained policy in service: exported weights, the TFT encoder in front, no training library needed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import (
    ModelFolder,
    Provenance,
    load_model_folder,
    save_model_folder,
)
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.network import EncoderOutput
from quantum_trader.agents.network_agent import Encoded
from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape
from quantum_trader.agents.policy_state import policy_state, state_size
from quantum_trader.agents.row_blocks import LARGEST_SMALL, RowBlocks, Rows
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.precision import torch_threads
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import from_plain
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.files import atomic_folder
from quantum_trader.envs.observe import ACCOUNT_SIZE, flat_account

Floats32 = NDArray[np.float32]

KIND = "policy"
WEIGHTS = "policy.safetensors"
ENCODER = "encoder"


def market_state(tft: TFTAgent, encoded: Encoded, features: PolicyFeatures) -> Floats32:
    """float32 [B, S]: what a policy is told of `B` observations after one pass of `tft`'s encoder."""
    return _told(_state_blocks(tft, features), encoded)


class PolicyAgent(LiveAgent):
    """A trained policy: action probabilities from the encoder's output and the account.

    Args:
        network: the policy's actor.
        tft: the agent whose encoder the policy was trained on.
        name: the algorithm that trained it, e.g. "ppo".
        calibration: temperature of the probabilities, or None.
        folder: where it was loaded from; None for one just trained.
    """

    def __init__(
        self,
        network: PolicyNetwork,
        tft: TFTAgent,
        *,
        name: str = "ppo",
        calibration: Calibration | None = None,
        folder: ModelFolder | None = None,
    ) -> None:
        self.network = network.eval()
        self.tft = tft
        self.name = name
        self.scaler = tft.scaler
        self.calibration = calibration
        self.model_hash = folder.sha256 if folder else ""
        shape = network.shape
        self._states = _state_blocks(tft, shape.features)
        self._answers = RowBlocks(
            self._answer_block, (shape.state_size,), (shape.account_size,), largest=LARGEST_SMALL
        )

    @property
    def features(self) -> PolicyFeatures:
        """What the policy is told of the market."""
        return self.network.shape.features

    def state(self, encoded: Encoded) -> Floats32:
        """float32 [B, S]: what the policy is told after a pass of its encoder."""
        return _told(self._states, encoded)

    def probabilities(self, state: Floats32, account: Floats32 | None) -> Floats32:
        """Calibrated probabilities.

        Args:
            state: float32 [B, S], see `state`.
            account: float32 [B, k]; None stands for a flat account.

        Returns:
            float32 [B, 3] in the order of `Action`.
        """
        raw = self._raw(state, account)
        return self.calibration.apply(raw) if self.calibration else raw

    def _raw(self, state: Floats32, account: Floats32 | None) -> Floats32:
        if account is None:
            account = np.tile(flat_account(), (len(state), 1))
        (raw,) = self._answers((torch.from_numpy(state), torch.from_numpy(account)))
        return raw.numpy()

    def _answer_block(self, state: torch.Tensor, account: torch.Tensor) -> Rows:
        with torch.inference_mode(), torch_threads(1):
            return (torch.softmax(self.network(state, account), dim=-1),)

    def act(self, state: Floats32, account: Floats32) -> NDArray[np.int8]:
        """int8 [B]: the orders that the most probable answers stand for."""
        return self.network.act(state, account)

    def signals(self, inputs: ModelInputs) -> Signals:
        """Calibrated probabilities of each row, by way of one encoder pass."""
        encoded = self.tft.encode(inputs)
        return Signals(
            probabilities=self.probabilities(self.state(encoded), inputs.account),
            attention=encoded.attention,
            importances=encoded.importances,
        )

    def vote(self, inputs: ModelInputs, encoded: Encoded, by: TFTAgent) -> Floats32:
        """float32 [B, 3]: probabilities after `by` has encoded `inputs` already.

        That pass is used again where `by` is the policy's own encoder; a policy whose encoder was fine-tuned
        makes a pass of its own.
        """
        mine = encoded if by is self.tft else self.tft.encode(inputs)
        return self.probabilities(self.state(mine), inputs.account)

    def get_ready(self, rows: int = 1) -> None:
        """Do now what would make the first calls about so many rows slower; `load` does it for one row."""
        self._states.get_ready(rows)
        self._answers.get_ready(rows)

    def save(self, path: Path, *, provenance: Provenance, encoder_folder: Path) -> None:
        """Write the model folder, with a copy of the encoder's own folder inside."""
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        encoder = load_model_folder(encoder_folder, kind="tft")
        with atomic_folder(path) as staged:
            save_model_folder(
                staged,
                kind=KIND,
                config=self.network.shape,
                scaler=self.scaler,
                calibration=self.calibration,
                provenance=provenance,
                files={WEIGHTS: lambda target: save_file(state, target)},
                extra={"encoder_sha256": encoder.sha256, "name": self.name},
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
            network = _network(folder.config, tft)
            network.load_state_dict(load_file(folder.file(WEIGHTS)))
            name = str(folder.extra["name"])
        except (ConfigError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelFolderError(
                f"{path} does not fit its own config ({reason}): train it again."
            ) from error
        agent = cls(network, tft, name=name, calibration=folder.calibration, folder=folder)
        agent.get_ready()
        return agent

    load_model = load

    def _choose(self, signals: Signals, row: int) -> tuple[Action, str]:
        """A policy's HOLD means "leave the position": its own most probable action decides."""
        if not np.isfinite(signals.probabilities[row]).all():
            return Action.HOLD, "the model's output is not a number"
        return Action(int(signals.actions[row])), "the policy's most probable action"


def _state_blocks(tft: TFTAgent, features: PolicyFeatures) -> RowBlocks:
    """Encoder outputs [B, H, D], embeddings [B, D] and units [B, H] -> states [B, S]."""

    def run(outputs: torch.Tensor, embedding: torch.Tensor, unit: torch.Tensor) -> Rows:
        # The attention goes along for the record; no state is made of it.
        encoded = EncoderOutput(outputs=outputs, embedding=embedding, attention=embedding)
        with torch.inference_mode(), torch_threads(1):
            return (policy_state(tft.model, encoded, unit, features).contiguous(),)

    horizons, width = len(tft.model.config.horizons), tft.embedding_size
    return RowBlocks(run, (horizons, width), (width,), (horizons,), largest=LARGEST_SMALL)


def _told(blocks: RowBlocks, encoded: Encoded) -> Floats32:
    rows = (encoded.outputs, encoded.embedding, encoded.unit)
    (state,) = blocks(tuple(torch.from_numpy(each) for each in rows))
    return state.numpy()


def _network(config: dict[str, Any], tft: TFTAgent) -> PolicyNetwork:
    shape = from_plain(PolicyShape, config, where="config")
    for what, wanted, found in (
        ("account numbers", ACCOUNT_SIZE, shape.account_size),
        ("numbers of the market", state_size(tft.model, shape.features), shape.state_size),
    ):
        if found != wanted:
            raise ConfigError(f"expected {wanted} {what}, found {found}")
    # Loading a model leaves the caller's random numbers as they were.
    with torch.random.fork_rng(devices=[]):
        return PolicyNetwork(shape)
