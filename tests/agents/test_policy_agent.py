"""The PPO policy in service: probabilities, its folder, the encoder it stands on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantum_trader.agents.folder import Provenance, load_model_folder
from quantum_trader.agents.ppo_agent import ENCODER, WEIGHTS, PPOAgent
from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.observe import ACCOUNT_SIZE, flat_account

from .fakes import bars
from .tiny_tft import tiny_tft

PROVENANCE = Provenance.now(data_sha256="0" * 64, seed=1, metrics={"validation_log_return": 0.5})


def _agent(tft: TFTAgent) -> PPOAgent:
    torch.manual_seed(1)
    network = PolicyNetwork(
        embedding_size=tft.embedding_size, account_size=ACCOUNT_SIZE, account_hidden=8, layers=(16, 12)
    )
    return PPOAgent(network, tft)


def _accounts(rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(rows).uniform(0, 1, (rows, ACCOUNT_SIZE)).astype(np.float32)


def _inputs(rows: int, account: NDArray[np.float32] | None = None) -> ModelInputs:
    rng = np.random.default_rng(rows)
    return ModelInputs(
        windows=rng.standard_normal((rows, 60, 14)).astype(np.float32),
        context=rng.standard_normal((rows, CONTEXT_SIZE)).astype(np.float32),
        account=account,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tft` and `ppo` folders; tests that damage them work on `damaged`."""
    folder = tmp_path_factory.mktemp("models")
    tft = tiny_tft()
    tft.save(folder / "tft")
    _agent(tft).save(folder / "ppo", provenance=PROVENANCE, encoder_folder=folder / "tft")
    return folder


@pytest.fixture
def damaged(models: Path, tmp_path: Path) -> Path:
    """A copy of the policy's folder, to be damaged."""
    shutil.copytree(models / "ppo", tmp_path / "ppo")
    return tmp_path / "ppo"


def test_probabilities_sum_to_one() -> None:
    """Every row is a distribution over the three actions and depends on the account; `act` takes its mode."""
    agent = _agent(tiny_tft())
    signals = agent.signals(_inputs(40, _accounts(40)))
    assert signals.probabilities.shape == (40, 3)
    assert signals.probabilities.dtype == np.float32
    np.testing.assert_allclose(signals.probabilities.sum(axis=1), 1.0, rtol=1e-6)
    embedding = agent.tft.embed(_inputs(40))
    np.testing.assert_array_equal(signals.probabilities, agent.probabilities(embedding, _accounts(40)))
    np.testing.assert_array_equal(agent.act(embedding, _accounts(40)), signals.actions)
    assert (agent.probabilities(embedding, None) != signals.probabilities).any()


def test_no_account_is_a_flat_one() -> None:
    """Without an account the answer is that of an account without a position."""
    agent = _agent(tiny_tft())
    flat = np.tile(flat_account(), (6, 1))
    with_flat, without = agent.signals(_inputs(6, flat)), agent.signals(_inputs(6))
    np.testing.assert_array_equal(with_flat.probabilities, without.probabilities)


def test_explanations_are_the_encoders() -> None:
    """Attention and importances come from the same encoder pass as the TFT's own signals."""
    agent = _agent(tiny_tft())
    signals, encoded = agent.signals(_inputs(4)), agent.tft.signals(_inputs(4))
    assert signals.attention is not None
    assert encoded.attention is not None
    np.testing.assert_array_equal(signals.attention, encoded.attention)
    assert signals.quantiles is None


def test_predicts_live() -> None:
    """The answer to the 60th bar is the most probable action of a flat account; not-a-number is HOLD."""
    agent = _agent(tiny_tft())
    stream = bars(60)
    agent.add_to_history("BTCUSDT", stream[:-1])
    signal = agent.predict("BTCUSDT", stream[-1])
    assert signal.meta.probabilities is not None
    assert signal.action == Action(int(np.argmax(signal.meta.probabilities)))
    with torch.no_grad():
        agent.network.head.bias.fill_(torch.nan)
    assert agent.predict("BTCUSDT", bars(61)[-1]).action == Action.HOLD


def test_loads_equal_in_another_process(models: Path, tmp_path: Path) -> None:
    """A fresh process gives identical probabilities, without what it was trained with."""
    inputs = _inputs(5, _accounts(5))
    assert inputs.account is not None
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context, account=inputs.account)
    code = f"""
import sys
import numpy as np
from pathlib import Path
from quantum_trader.agents import PPOAgent
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import TFTAgent
tft = TFTAgent.load(Path({str(models / "tft")!r}), precision="fp32", num_threads=1)
shared = PPOAgent.load(Path({str(models / "ppo")!r}), tft=tft)
inputs = ModelInputs(**np.load({str(tmp_path / "inputs.npz")!r}))
np.save({str(tmp_path / "answer.npy")!r}, shared.signals(inputs).probabilities)
PPOAgent.load(Path({str(models / "ppo")!r})).signals(inputs)
for needless in ("stable_baselines3", "tensorboard", "quantum_trader.train", "quantum_trader.envs.env"):
    assert needless not in sys.modules, needless
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    expected = _agent(tiny_tft()).signals(inputs).probabilities
    np.testing.assert_array_equal(np.load(tmp_path / "answer.npy"), expected)


def test_shares_the_encoder_it_was_trained_on(models: Path) -> None:
    """An agent of the same hash is used itself; any other is left aside for the folder's own copy."""
    same = TFTAgent.load(models / "tft", precision="fp32")
    assert PPOAgent.load(models / "ppo", tft=same).tft is same
    other = tiny_tft(seed=4)
    for given in (other, None):
        loaded = PPOAgent.load(models / "ppo", tft=given)
        assert loaded.tft is not given
        assert loaded.tft.model_hash == same.model_hash


def test_loading_draws_no_random_numbers(models: Path) -> None:
    """A program's random numbers are the same whether it loads a policy or not."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    PPOAgent.load(models / "ppo")
    assert torch.equal(torch.rand(3), expected)


def test_saved_over_an_older_one(models: Path, tmp_path: Path) -> None:
    """A folder that stands there is replaced whole, its encoder included, and nothing is left beside it."""
    target = tmp_path / "ppo"
    target.mkdir()
    (target / "old.txt").write_text("old")
    _agent(tiny_tft()).save(target, provenance=PROVENANCE, encoder_folder=models / "tft")
    assert sorted(path.name for path in target.iterdir()) == ["config.json", ENCODER, WEIGHTS]
    assert [path.name for path in tmp_path.iterdir()] == ["ppo"]
    assert load_model_folder(target).provenance == PROVENANCE
    agent = PPOAgent.load(target)
    agent.save(target, provenance=PROVENANCE, encoder_folder=target / ENCODER)
    assert PPOAgent.load(target).model_hash == agent.model_hash


def test_a_swapped_encoder_is_refused(damaged: Path) -> None:
    """Another TFT in the encoder's place, or none, is a `ModelFolderError`."""
    shutil.rmtree(damaged / ENCODER)
    with pytest.raises(ModelFolderError, match="does not exist"):
        PPOAgent.load(damaged)
    tiny_tft(seed=4).save(damaged / ENCODER)
    with pytest.raises(ModelFolderError, match="not the encoder this policy was trained on"):
        PPOAgent.load(damaged)


def test_damaged_weights_are_refused(damaged: Path) -> None:
    """A flipped byte in the policy's or the encoder's weights is a `ModelFolderError`."""
    for path in (damaged / ENCODER / "weights.safetensors", damaged / WEIGHTS):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(ModelFolderError, match=f"{path.name} is damaged"):
            PPOAgent.load(damaged)


def _account_size(config: dict[str, object]) -> None:
    config["account_size"] = ACCOUNT_SIZE + 1


def _embedding_size(config: dict[str, object]) -> None:
    config["embedding_size"] = 99


def _no_layers(config: dict[str, object]) -> None:
    del config["layers"]


def _unknown_key(config: dict[str, object]) -> None:
    config["widht"] = 4


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (_account_size, f"expected {ACCOUNT_SIZE} account numbers, found {ACCOUNT_SIZE + 1}"),
        (_embedding_size, "does not fit"),
        (_no_layers, "layers"),
        (_unknown_key, "widht"),
    ],
)
def test_an_edited_config_is_refused(
    damaged: Path, edit: Callable[[dict[str, object]], None], named: str
) -> None:
    """A config of another account, width or spelling is a `ModelFolderError` with a reason."""
    manifest = json.loads((damaged / "config.json").read_text())
    edit(manifest["config"])
    (damaged / "config.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFolderError, match=named):
        PPOAgent.load(damaged)
