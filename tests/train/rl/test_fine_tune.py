"""The second phase: a hand-over that changes no answer, two step sizes, and an encoder of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from quantum_trader.agents.folder import load_model_folder
from quantum_trader.agents.policy_agent import WEIGHTS, PolicyAgent, market_state
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.rl import fine_tune
from quantum_trader.train.rl.config import FineTuneConfig, RLConfig
from quantum_trader.train.rl.environment import TrainingVecEnv
from quantum_trader.train.rl.export import export_policy
from quantum_trader.train.rl.fine_tune import full_network
from quantum_trader.train.rl.fit import LabelledStates
from quantum_trader.train.rl.validation import TablePolicy, try_policy

from ...agents.tiny_tft import tiny_tft
from . import tiny_policy
from .conftest import Fit
from .tiny_policy import ROLLOUT, same

PHASE = FineTuneConfig(
    total_steps=48,
    num_envs=6,
    shared_start=3,
    rollout_steps=4,
    batch_size=12,
    epochs=2,
    learning_rate=1e-2,
    encoder_rate=0.25,
)
CONFIG = replace(tiny_policy.short(2), fine_tune=PHASE)


def _handed_over(features: Any = "outputs", phase: FineTuneConfig = PHASE) -> tuple[Any, Any]:
    """A PPO of the first phase after a little training, and the same in the full network."""
    config: RLConfig = replace(CONFIG, features=features, fine_tune=phase)
    trained, _ = tiny_policy.model("ppo", config)
    trained.learn(2 * ROLLOUT)
    markets = [item.market for item in tiny_policy.train(features)]
    accounts = FuturesTradingVectorEnv(markets, num_envs=phase.num_envs, config=config.env)
    env = TrainingVecEnv(accounts, config, shared_start=phase.shared_start)
    return trained, full_network(trained, env, tiny_policy.tft(), config)


@pytest.mark.parametrize("features", ["encoder", "outputs", "both"])
def test_hand_over_changes_no_answer(features: Any) -> None:
    """On the same rows the full network gives the probabilities and the value of the first phase to the bit,
    the table being what `market_state` makes of those rows; so does its exported actor."""
    trained, full = _handed_over(features)
    agent, inputs, account = tiny_policy.tft(), tiny_policy.seen(32), tiny_policy.accounts(32)
    state = torch.from_numpy(market_state(agent, agent.encode(inputs), features))
    on_table = {"embedding": state, "account": account}
    on_windows = {
        "window": torch.from_numpy(inputs.windows),
        "context": torch.from_numpy(inputs.context.copy()),
        "account": account,
    }
    with torch.no_grad():
        for mode in (False, True):
            full.policy.set_training_mode(mode)
            trained.policy.set_training_mode(mode)
            expected = trained.policy.get_distribution(on_table).distribution.logits
            found = full.policy.get_distribution(on_windows).distribution.logits
            assert torch.equal(found, expected)
            values = full.policy.predict_values(on_windows)
            assert torch.equal(values, trained.policy.predict_values(on_table))
        assert expected.std() > 0
        config = replace(CONFIG, features=features)
        exported = [export_policy(model, "ppo", config)(state, account) for model in (full, trained)]
    assert torch.equal(*exported)


def test_everything_but_the_network_is_taken_over() -> None:
    """Every weight of the first phase is there unchanged; only keys of the pretrained network are new."""
    trained, full = _handed_over()
    before, after = trained.policy.state_dict(), full.policy.state_dict()
    assert same({name: after[name] for name in before}, dict(before))
    assert {".network." in name for name in after.keys() - before.keys()} == {True}
    network = full.policy.features_extractor.network.state_dict()
    assert same(dict(network), dict(tiny_policy.tft().model.state_dict()))
    assert full.gamma == trained.gamma


def test_accounts_of_a_group_see_the_same_bars() -> None:
    """After the reset that begins training, groups of `shared_start` accounts observe the same windows, which
    a batch encodes once; other groups observe others."""
    _, full = _handed_over()
    observed = full.env.reset()
    windows = observed["window"].reshape(2, 3, -1)
    assert (windows == windows[:, :1]).all()
    assert (windows[0] != windows[1]).any()
    assert full.seed == CONFIG.seed + fine_tune._SEED_STEP


@pytest.mark.parametrize("rate", [0.25, 0.0])
def test_encoder_learns_at_its_own_rate(rate: float) -> None:
    """After every update the encoder's step size is `encoder_rate` times the policy's, down the whole
    schedule; at rate 0 it does not move."""
    _, full = _handed_over(phase=replace(PHASE, encoder_rate=rate))
    network = full.policy.features_extractor.network
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    fast, slow = full.policy.optimizer.param_groups
    assert {id(weight) for weight in slow["params"]} == {id(weight) for weight in network.parameters()}
    assert len(fast["params"]) + len(slow["params"]) == len(list(full.policy.parameters()))
    seen: list[tuple[float, float]] = []
    train = full.train

    def noted() -> None:
        train()
        seen.append((fast["lr"], slow["lr"]))

    full.train = noted
    full.learn(96)
    # Four rollouts of 24; the step size after each is that of the steps left.
    expected = [PHASE.learning_rate * left for left in (0.75, 0.5, 0.25, 0.0)]
    assert [rates[0] for rates in seen] == pytest.approx(expected)
    assert [rates[1] for rates in seen] == pytest.approx([rate * each for each in expected])
    moved = [not torch.equal(weight, before[name]) for name, weight in network.named_parameters()]
    assert any(moved) is (rate > 0)


def _labels() -> LabelledStates:
    bars = np.flatnonzero(tiny_policy.validation()[0].market.usable)[:40]
    action = np.random.default_rng(0).integers(0, 3, 40)
    return LabelledStates(market=np.zeros(40, np.int64), bar=bars, action=action, hold_share=0.4)


def _rising(patch: pytest.MonkeyPatch, step: float) -> list[Any]:
    """Lets every trial of the second phase look better (or worse) than the one before."""
    seen: list[Any] = []

    def trial(*arguments: Any) -> Any:
        seen.append(try_policy(*arguments))
        return seen[-1]._replace(utility=step * len(seen))

    patch.setattr(fine_tune, "try_policy", trial)
    return seen


def test_second_phase_gives_a_policy_with_an_encoder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, encoder: Path, tmp_path: Path
) -> None:
    """Fine-tuned, the policy's folder holds another encoder; it loads without the original, its answers and
    its figures are those that were measured, and the original agent is as it was."""
    tried = _rising(monkeypatch, 1.0)
    before = {name: value.clone() for name, value in tiny_policy.tft().model.state_dict().items()}
    found = fit(tmp_path, CONFIG, labels=_labels())
    assert same(dict(tiny_policy.tft().model.state_dict()), before)
    folder = tmp_path / "models" / "policy"
    original = load_model_folder(encoder, kind="tft").sha256
    assert load_model_folder(folder / "encoder", kind="tft").sha256 != original
    shutil.rmtree(tmp_path / "encoders")
    agent = PolicyAgent.load(folder, tft=tiny_policy.tft())
    assert agent.tft is not tiny_policy.tft()
    assert agent.tft.model_hash != original
    assert agent.calibration is not None
    assert found.metrics["validation_log_return"] == tried[-1].log_return
    weights = load_file(folder / "encoder" / "weights.safetensors")
    changed = [
        name for name, value in before.items() if name in weights and not torch.equal(weights[name], value)
    ]
    assert any(name.startswith("encoder.") for name in changed)
    assert found.agent is not None
    inputs = tiny_policy.seen(20)
    np.testing.assert_array_equal(
        agent.signals(inputs).probabilities, found.agent.signals(inputs).probabilities
    )
    # In float32, as it was tried: the folder's own agent runs in the machine's precision.
    exact = type(agent.tft).load(folder / "encoder", precision="fp32")
    tables = []
    for item in tiny_policy.validation():
        usable = np.flatnonzero(item.market.usable)
        rows = ModelInputs(
            windows=gather(item.market.table, usable, WINDOW), context=item.market.context[usable]
        )
        table = np.zeros_like(item.table)
        table[usable] = market_state(exact, exact.encode(rows), agent.features)
        tables.append(table)
    policy = TablePolicy(agent.network, tables)
    again = try_policy(policy, tiny_policy.validation(), CONFIG.env, CONFIG.risk_aversion)
    assert again.log_return == pytest.approx(tried[-1].log_return, abs=1e-6)


def test_a_second_phase_that_only_harms_keeps_the_policy(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path
) -> None:
    """Where every later trial is worse, the policy as handed over is what is written: the first phase's
    weights, and the encoder's."""
    alone = fit(tmp_path / "alone", replace(CONFIG, fine_tune=FineTuneConfig()))
    tried = _rising(monkeypatch, -1.0)
    found = fit(tmp_path / "both", CONFIG)
    assert len(tried) > 2
    assert found.metrics["validation_utility"] == -1.0
    first, second = (tmp_path / name / "models" / "policy" for name in ("alone", "both"))
    assert same(load_file(first / WEIGHTS), load_file(second / WEIGHTS))
    weights = [load_file(folder / "encoder" / "weights.safetensors") for folder in (first, second)]
    assert same(*weights)
    name = "validation_log_return"
    assert found.metrics[name] == pytest.approx(alone.metrics[name], abs=1e-6)


def test_tuned_agent_answers_with_the_new_weights() -> None:
    """The agent made of the network as it is now is a copy: training on does not change it."""
    config = CONFIG
    trained, _ = tiny_policy.model("ppo", config)
    agent = tiny_tft()
    phase = fine_tune.FineTuning(
        trained,
        tiny_policy.train(),
        tiny_policy.validation(),
        agent,
        config,
        Path("unused"),
        name="ppo",
        config_sha256="hash",
    )
    tuned, inputs = phase._tuned(), tiny_policy.seen(8)
    expected = agent.encode(inputs).embedding
    np.testing.assert_array_equal(tuned.encode(inputs).embedding, expected)
    with torch.no_grad():
        for weight in phase.model.policy.features_extractor.network.parameters():
            weight.add_(0.1)
    np.testing.assert_array_equal(tuned.encode(inputs).embedding, expected)
    assert (phase._tuned().encode(inputs).embedding != expected).any()
    assert phase._tuned().bf16 is agent.bf16
