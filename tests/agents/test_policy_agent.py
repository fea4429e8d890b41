"""A trained policy in service: probabilities, its folder, the encoder it stands on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance, load_model_folder
from quantum_trader.agents.policy_agent import ENCODER, WEIGHTS, PolicyAgent
from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape
from quantum_trader.agents.policy_state import state_size
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.observe import ACCOUNT_NAMES, ACCOUNT_SIZE, flat_account

from .fakes import bars
from .tiny_tft import tiny_tft

PROVENANCE = Provenance.now(data_sha256="0" * 64, seed=1, metrics={"validation_log_return": 0.5})
SHAPES = {
    "order": PolicyShape(state_size=0, features="outputs", account_hidden=8, layers=(8,), actions="order"),
    "target": PolicyShape(state_size=0, features="outputs", account_hidden=8, layers=(8,), actions="target"),
    "gaussian": PolicyShape(
        state_size=0, features="both", account_hidden=4, layers=(7, 6), actions="target", head="gaussian"
    ),
    "masked": PolicyShape(
        state_size=0, features="outputs", account_hidden=8, layers=(8,), actions="order", masked=True
    ),
    "encoder": PolicyShape(
        state_size=0, features="encoder", account_hidden=8, layers=(16, 12), actions="target"
    ),
    "both": PolicyShape(state_size=0, features="both", account_hidden=8, layers=(), actions="order"),
}
"""Every kind of head, action and state; the size of the state follows from the encoder."""


def _agent(tft: TFTAgent, kind: str = "target", *, temperature: float | None = None) -> PolicyAgent:
    """A policy with seeded random weights, strong enough to want more than one thing."""
    shape = replace(SHAPES[kind], state_size=state_size(tft.model, SHAPES[kind].features))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = PolicyNetwork(shape)
        with torch.no_grad():
            network.head.weight.mul_(4.0)
    calibration = None if temperature is None else Calibration(temperature=temperature, hold_threshold=0.4)
    agent = PolicyAgent(network, tft, name="a2c" if kind == "order" else "ppo", calibration=calibration)
    seen = agent.state(tft.encode(_inputs(50)))
    network.state.set_scale(seen.mean(axis=0), seen.std(axis=0))
    return agent


def _accounts(rows: int) -> NDArray[np.float32]:
    """Random accounts; positions are short, none and long in turn, nothing is on its way."""
    found = np.random.default_rng(rows).uniform(0, 1, (rows, ACCOUNT_SIZE)).astype(np.float32)
    found[:, ACCOUNT_NAMES.index("position")] = np.arange(rows) % 3 - 1
    found[:, ACCOUNT_NAMES.index("pending")] = 0
    return found


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


@pytest.mark.parametrize("kind", SHAPES)
def test_probabilities_sum_to_one(kind: str) -> None:
    """Every row is a distribution over the three actions and depends on the account."""
    agent, inputs = _agent(tiny_tft(), kind), _inputs(40, _accounts(40))
    signals = agent.signals(inputs)
    assert signals.probabilities.shape == (40, 3)
    assert signals.probabilities.dtype == np.float32
    np.testing.assert_allclose(signals.probabilities.sum(axis=1), 1.0, rtol=1e-5)
    state = agent.state(agent.tft.encode(inputs))
    np.testing.assert_array_equal(signals.probabilities, agent.probabilities(state, _accounts(40)))
    assert (agent.probabilities(state, None) != signals.probabilities).any()


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("temperature", [0.2, 5.0])
def test_calibration_changes_no_choice(kind: str, temperature: float) -> None:
    """The temperature sharpens or flattens the odds; the most probable action and `act` stay."""
    tft, account = tiny_tft(), _accounts(40)
    plain, tempered = _agent(tft, kind), _agent(tft, kind, temperature=temperature)
    state = plain.state(tft.encode(_inputs(40)))
    raw, said = plain.probabilities(state, account), tempered.probabilities(state, account)
    np.testing.assert_allclose(said.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(raw.argmax(axis=1), said.argmax(axis=1))
    assert (np.sign(said.max(axis=1) - raw.max(axis=1)) == (1 if temperature < 1 else -1)).mean() > 0.8
    np.testing.assert_array_equal(plain.act(state, account), tempered.act(state, account))


def test_the_act_of_an_order_policy_is_its_mode() -> None:
    """A policy of orders sends its most probable order, a masked one none that changes nothing."""
    inputs = _inputs(60, _accounts(60))
    for kind in ("order", "both", "masked"):
        agent = _agent(tiny_tft(), kind)
        state = agent.state(agent.tft.encode(inputs))
        np.testing.assert_array_equal(agent.act(state, _accounts(60)), agent.signals(inputs).actions)
    position = np.arange(60) % 3 - 1
    sent = agent.act(state, _accounts(60)) if kind == "masked" else None
    assert sent is not None
    assert not ((sent == Action.BUY) & (position == 1)).any()
    assert not ((sent == Action.SELL) & (position == -1)).any()


@pytest.mark.parametrize("kind", ["target", "gaussian", "encoder"])
def test_the_act_of_a_target_policy_leads_to_its_mode(kind: str) -> None:
    """The position after the order is nearer to the wanted one, or is the wanted one already."""
    agent, inputs = _agent(tiny_tft(), kind), _inputs(60, _accounts(60))
    sent = agent.act(agent.state(agent.tft.encode(inputs)), _accounts(60))
    side = np.array([0, 1, -1])
    wanted, position = side[agent.signals(inputs).actions], np.arange(60) % 3 - 1
    assert len(np.unique(wanted)) > 1
    np.testing.assert_array_equal(side[sent], np.sign(wanted - position))


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


def test_a_vote_uses_the_pass_of_its_own_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pass of the very encoder it stands on, a policy makes none of its own."""
    tft = tiny_tft()
    agent, inputs = _agent(tft, temperature=2.0), _inputs(9, _accounts(9))
    encoded, expected = tft.encode(inputs), agent.signals(inputs).probabilities

    def never(inputs: ModelInputs) -> None:
        raise AssertionError("a second pass")

    monkeypatch.setattr(tft, "encode", never)
    np.testing.assert_array_equal(agent.vote(inputs, encoded, tft), expected)


def test_a_vote_after_another_encoders_pass_makes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another encoder made of the inputs plays no part, even if that one has the same weights."""
    tft = tiny_tft()
    agent, inputs = _agent(tft), _inputs(9, _accounts(9))
    expected, passes = agent.signals(inputs).probabilities, 0
    encode = tft.encode

    def counted(inputs: ModelInputs) -> object:
        nonlocal passes
        passes += 1
        return encode(inputs)

    monkeypatch.setattr(tft, "encode", counted)
    for other in (tiny_tft(seed=4), tiny_tft()):
        np.testing.assert_array_equal(agent.vote(inputs, other.encode(inputs), other), expected)
    assert passes == 2


@pytest.mark.parametrize("temperature", [None, 1.7])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_saved_policy_answers_as_before(
    models: Path, tmp_path: Path, kind: str, temperature: float | None
) -> None:
    """Shape, algorithm, calibration and every answer are the same after saving and loading."""
    tft, inputs = tiny_tft(), _inputs(5, _accounts(5))
    agent = _agent(tft, kind, temperature=temperature)
    agent.save(tmp_path / "policy", provenance=PROVENANCE, encoder_folder=models / "tft")
    # In the precision of the agent at hand, whatever the machine prefers.
    same = TFTAgent.load(models / "tft", precision="fp32", num_threads=1)
    loaded = PolicyAgent.load(tmp_path / "policy", tft=same)
    assert loaded.tft is same
    assert (loaded.network.shape, loaded.name) == (agent.network.shape, agent.name)
    assert (loaded.calibration, loaded.scaler) == (agent.calibration, agent.scaler)
    assert loaded.hold_threshold == agent.hold_threshold
    assert loaded.model_hash == load_model_folder(tmp_path / "policy", kind="policy").sha256
    np.testing.assert_array_equal(loaded.signals(inputs).probabilities, agent.signals(inputs).probabilities)
    state = agent.state(tft.encode(inputs))
    np.testing.assert_array_equal(loaded.act(state, _accounts(5)), agent.act(state, _accounts(5)))


def test_loads_where_there_is_no_training_library(models: Path, tmp_path: Path) -> None:
    """A process in which stable-baselines3 and sb3-contrib cannot be imported gives the same answers."""
    inputs = _inputs(5, _accounts(5))
    assert inputs.account is not None
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context, account=inputs.account)
    code = f"""
import sys
blocked = ("stable_baselines3", "sb3_contrib", "tensorboard")
sys.modules.update(dict.fromkeys(blocked))
import numpy as np
from pathlib import Path
from quantum_trader.agents import PolicyAgent
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import TFTAgent
tft = TFTAgent.load(Path({str(models / "tft")!r}), precision="fp32", num_threads=1)
shared = PolicyAgent.load(Path({str(models / "ppo")!r}), tft=tft)
inputs = ModelInputs(**np.load({str(tmp_path / "inputs.npz")!r}))
np.save({str(tmp_path / "answer.npy")!r}, shared.signals(inputs).probabilities)
own = PolicyAgent.load(Path({str(models / "ppo")!r}))
own.act(own.state(own.tft.encode(inputs)), inputs.account)
for needless in (*blocked, "quantum_trader.train", "quantum_trader.envs.env"):
    assert sys.modules.get(needless) is None, needless
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    expected = _agent(tiny_tft()).signals(inputs).probabilities
    np.testing.assert_array_equal(np.load(tmp_path / "answer.npy"), expected)


def test_shares_the_encoder_it_was_trained_on(models: Path) -> None:
    """An agent of the same hash is used itself; any other is left aside for the folder's own copy."""
    same = TFTAgent.load(models / "tft", precision="fp32")
    assert PolicyAgent.load(models / "ppo", tft=same).tft is same
    other = tiny_tft(seed=4)
    for given in (other, None):
        loaded = PolicyAgent.load(models / "ppo", tft=given)
        assert loaded.tft is not given
        assert loaded.tft.model_hash == same.model_hash


def test_loading_draws_no_random_numbers(models: Path) -> None:
    """A program's random numbers are the same whether it loads a policy or not."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    PolicyAgent.load(models / "ppo")
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
    agent = PolicyAgent.load(target)
    agent.save(target, provenance=PROVENANCE, encoder_folder=target / ENCODER)
    assert PolicyAgent.load(target).model_hash == agent.model_hash


def test_a_swapped_encoder_is_refused(damaged: Path) -> None:
    """Another TFT in the encoder's place, or none, is a `ModelFolderError`."""
    shutil.rmtree(damaged / ENCODER)
    with pytest.raises(ModelFolderError, match="does not exist"):
        PolicyAgent.load(damaged)
    tiny_tft(seed=4).save(damaged / ENCODER)
    with pytest.raises(ModelFolderError, match="not the encoder this policy was trained on"):
        PolicyAgent.load(damaged)


def test_damaged_weights_are_refused(damaged: Path) -> None:
    """A flipped byte in the policy's or the encoder's weights is a `ModelFolderError`."""
    for path in (damaged / ENCODER / "weights.safetensors", damaged / WEIGHTS):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(ModelFolderError, match=f"{path.name} is damaged"):
            PolicyAgent.load(damaged)


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Change the manifest; returns the one message with which loading is refused."""
    manifest = json.loads((folder / "config.json").read_text())
    change(manifest)
    (folder / "config.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFolderError) as refused:
        PolicyAgent.load(folder)
    message = str(refused.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"account_size": ACCOUNT_SIZE + 1}, f"expected {ACCOUNT_SIZE} account numbers, found 12"),
        ({"state_size": 99}, "expected 10 numbers of the market, found 99"),
        ({"features": "both"}, "expected 26 numbers of the market, found 10"),
        ({"features": "everything"}, "everything"),
        ({"account_hidden": 9}, "does not fit its own config"),
        ({"layers": [9]}, "does not fit its own config"),
        ({"layers": [-9]}, "does not fit its own config"),
        ({"layers": "wide"}, "layers"),
        ({"layers": None}, "layers"),
        ({"head": "gaussian"}, "does not fit its own config"),
        ({"head": "softmax"}, "head"),
        ({"actions": "continuous"}, "actions"),
        ({"widht": 4}, "widht"),
    ],
    ids=str,
)
def test_an_edited_config_is_refused(damaged: Path, change: dict[str, Any], named: str) -> None:
    """A config of another account, state, width or spelling is a `ModelFolderError` with a reason."""
    assert named in _edit(damaged, lambda manifest: manifest["config"].update(change))


def test_a_missing_entry_is_refused(damaged: Path) -> None:
    """A shape without its layers, and a folder that names neither itself nor its encoder, are not loaded."""
    whole = (damaged / "config.json").read_text()
    for part, key in (("config", "layers"), ("extra", "name"), ("extra", "encoder_sha256")):
        (damaged / "config.json").write_text(whole)
        message = _edit(damaged, lambda manifest, part=part, key=key: manifest[part].pop(key))  # type: ignore[misc]
        assert key in message or "not the encoder" in message


def test_another_feature_set_is_refused(damaged: Path) -> None:
    """A policy, or an encoder, of another feature set is named with both sets."""
    set_other = {"feature_set": "other-1"}
    assert "trained on feature set other-1, this software computes" in _edit(
        damaged, lambda manifest: manifest["provenance"].update(set_other)
    )
    assert "trained on feature set other-1" in _edit_encoder(damaged, set_other)


def _edit_encoder(folder: Path, change: dict[str, Any]) -> str:
    """The same for the encoder's own folder inside an otherwise whole one."""
    policy, encoder = (json.loads((each / "config.json").read_text()) for each in (folder, folder / ENCODER))
    policy["provenance"]["feature_set"] = encoder["provenance"]["feature_set"]
    encoder["provenance"].update(change)
    (folder / ENCODER / "config.json").write_text(json.dumps(encoder))
    return _edit(folder, lambda manifest: manifest.update(policy))


def test_folders_of_other_kinds_are_refused(models: Path) -> None:
    """A TFT's folder is no policy's and the other way round; a missing one says what to do."""
    with pytest.raises(ModelFolderError, match="expected policy, found tft"):
        PolicyAgent.load(models / "tft")
    with pytest.raises(ModelFolderError, match="expected tft, found policy"):
        TFTAgent.load(models / "ppo")
    with pytest.raises(ModelFolderError, match="does not exist"):
        PolicyAgent.load(models / "a2c")
