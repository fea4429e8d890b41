"""Fitting a policy: one seed one result, refused where data or settings changed, nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from quantum_trader.agents.folder import load_model_folder
from quantum_trader.agents.policy_agent import WEIGHTS, PolicyAgent
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.train.rl.config import FineTuneConfig
from quantum_trader.train.rl.fit import LabelledStates
from quantum_trader.train.rl.table import EncodedMarket, encode_market
from quantum_trader.train.rl.validation import TablePolicy, ValidationResult, try_policy

from ...agents.tiny_tft import tiny_tft
from . import tiny_policy
from .conftest import Fit
from .tiny_policy import CONFIG, ROLLOUT

FIGURES = {*ValidationResult._fields, "share_hold", "share_buy", "share_sell"} - {"shares"}
METRICS = {f"validation_{name}" for name in FIGURES}


@pytest.fixture(scope="module")
def fitted(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(folder)
    return folder


def _weights(folder: Path) -> bytes:
    return (folder / "models" / "policy" / WEIGHTS).read_bytes()


def _checkpoint(folder: Path) -> dict[str, Any]:
    saved = torch.load(folder / "checkpoints" / "ppo.pt", weights_only=True)["state"]
    assert isinstance(saved, dict)
    return saved


def _labels(count: int = 40) -> LabelledStates:
    usable = np.flatnonzero(tiny_policy.validation()[0].market.usable)[:count]
    return LabelledStates(
        market=np.zeros(count, np.int64),
        bar=usable,
        action=np.random.default_rng(0).integers(0, 3, count),
        hold_share=0.4,
    )


def test_folder_holds_what_was_measured(fitted: Path) -> None:
    """The model folder loads, its provenance has the kept policy's figures, and they are true; logs and
    checkpoint lie where they are looked for."""
    agent = PolicyAgent.load(fitted / "models" / "policy", tft=tiny_policy.tft())
    assert agent.tft is tiny_policy.tft()
    assert agent.name == "ppo"
    provenance = load_model_folder(fitted / "models" / "policy").provenance
    assert set(provenance.metrics) == METRICS | {"best_tried_utility"}
    assert (provenance.seed, provenance.data_sha256) == (CONFIG.seed, "data")
    markets = tiny_policy.validation()
    policy = TablePolicy(agent.network, [item.table for item in markets])
    again = try_policy(policy, markets, CONFIG.env, CONFIG.risk_aversion)._asdict()
    shares = again.pop("shares")
    assert {f"validation_{name}": value for name, value in again.items()}.items() < provenance.metrics.items()
    assert shares == tuple(provenance.metrics[f"validation_share_{name}"] for name in ("hold", "buy", "sell"))
    assert _checkpoint(fitted)["training"]["counters"]["num_timesteps"] == CONFIG.total_steps
    assert [path.name for path in (fitted / "tensorboard").iterdir()] == ["ppo"]
    assert len(list((fitted / "tensorboard" / "ppo").glob("events.*"))) == 1


def test_same_seed_same_weights(fit: Fit, fitted: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights to the bit, another seed others; so does another name."""
    torch.manual_seed(99)
    fit(tmp_path / "same", name="other-name")
    assert _weights(tmp_path / "same") == _weights(fitted)
    assert (tmp_path / "same" / "checkpoints" / "other-name.pt").is_file()
    fit(tmp_path / "other", replace(CONFIG, seed=8))
    assert _weights(tmp_path / "other") != _weights(fitted)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_leaves_the_process_as_it_was(fit: Fit, tmp_path: Path, algorithm: str) -> None:
    """Random numbers of Python, numpy and torch, and torch's threads, are as if nothing had been trained."""

    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(1))]  # noqa: NPY002

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    seed()
    expected, threads = drawn(), torch.get_num_threads()
    seed()
    fit(tmp_path, replace(tiny_policy.short(1), num_threads=2), algorithm)
    assert drawn() == expected
    assert torch.get_num_threads() == threads


def test_finished_training_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, fitted: Path, tmp_path: Path
) -> None:
    """Where the checkpoint is that of a finished training, its best policy is written and nothing trained."""
    (tmp_path / "checkpoints").mkdir()
    source = fitted / "checkpoints" / "ppo.pt"
    (tmp_path / "checkpoints" / "ppo.pt").write_bytes(source.read_bytes())
    monkeypatch.setattr(PPO, "learn", None)
    again = fit(tmp_path, replace(CONFIG, num_threads=0))
    assert _weights(tmp_path) == _weights(fitted)
    assert again.metrics == load_model_folder(fitted / "models" / "policy").provenance.metrics
    assert not (tmp_path / "tensorboard").exists()


def test_checkpoint_of_other_settings_or_data_is_refused(fit: Fit, fitted: Path) -> None:
    """Other settings, another algorithm, other data, another range of it, other costs or the mirror image:
    the checkpoint is refused with a remedy, and the finished model stays."""
    weights = _weights(fitted)
    refused = "another configuration or other data: delete it"
    (whole,) = tiny_policy.train()
    cut = EncodedMarket(market=whole.market.rows(0, 500), table=whole.table[:500])
    contract = replace(whole.market.contract, taker_fee=0.0)
    free = EncodedMarket(market=replace(whole.market, contract=contract), table=whole.table)
    mirrored = encode_market(
        tiny_policy.tft(), mirrored_market(tiny_policy.market()).rows(0, 600), CONFIG.features
    )
    for change in (
        {"config": replace(CONFIG, learning_rate=2e-3)},
        {"config": replace(CONFIG, env=replace(CONFIG.env, leverage=2.0))},
        {"algorithm": "a2c", "name": "ppo"},
        {"data": "other data"},
        {"train": [cut]},
        {"train": [free]},
        {"train": [mirrored]},
        {"train": [whole, mirrored]},
    ):
        with pytest.raises(TrainingError, match=refused):
            fit(fitted, **change)
    assert _weights(fitted) == weights


def test_unusable_ingredients_are_named(fit: Fit, tmp_path: Path) -> None:
    """No markets, another encoder than the folder's, episodes longer than the data, an unknown algorithm and
    a second phase without PPO are refused."""
    with pytest.raises(TrainingError, match="no training markets"):
        fit(tmp_path, train=[])
    with pytest.raises(TrainingError, match="folder it was loaded from"):
        fit(tmp_path, tft=tiny_tft(seed=4))
    with pytest.raises(ConfigError, match="TINY: episode_bars 5000"):
        fit(tmp_path, replace(CONFIG, env=replace(CONFIG.env, episode_bars=5_000)))
    with pytest.raises(ConfigError, match=r"algorithm: expected one of ppo, .* found 'td3'"):
        fit(tmp_path, algorithm="td3")
    both = replace(CONFIG, fine_tune=FineTuneConfig(total_steps=64))
    with pytest.raises(ConfigError, match="only ppo has a second phase, found a2c"):
        fit(tmp_path, both, "a2c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("update", [1, 2], ids=["found while acting", "found when tried"])
def test_broken_weights_are_named(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path, update: int
) -> None:
    """Weights that blow up, even in the last update, end in a `TrainingError` that says what to do."""

    def break_weights(model: PPO) -> None:
        if model.num_timesteps == update * ROLLOUT:
            with torch.no_grad():
                model.policy.action_net.weight.fill_(torch.inf)

    monkeypatch.setattr(PPO, "train", break_weights)
    with pytest.raises(TrainingError, match=r"no longer finite after \d+ steps: lower learning_rate"):
        fit(tmp_path, replace(tiny_policy.short(2), evaluations=1))
    assert not (tmp_path / "models").exists()


def test_step_size_never_turns_negative(fit: Fit, tmp_path: Path) -> None:
    """Where the last rollout ends beyond `total_steps`, the step size ends at zero: below it, the last update
    would climb the loss."""
    fit(tmp_path, replace(CONFIG, total_steps=ROLLOUT + 1, evaluations=2))
    saved = _checkpoint(tmp_path)["training"]
    assert saved["counters"]["num_timesteps"] == 2 * ROLLOUT
    assert saved["modules"]["policy.optimizer"]["param_groups"][0]["lr"] == 0.0


def test_calibration_tempers_what_is_said_and_not_what_is_done(fit: Fit, tmp_path: Path) -> None:
    """With labels the folder keeps a temperature; the most probable class and the orders stay."""
    plain = fit(tmp_path / "plain", tiny_policy.short(1)).agent
    tempered = fit(tmp_path / "tempered", tiny_policy.short(1), labels=_labels()).agent
    assert plain is not None
    assert tempered is not None
    assert plain.calibration is None
    assert tempered.calibration is not None
    assert tempered.calibration.temperature != 1.0
    folder = load_model_folder(tmp_path / "tempered" / "models" / "policy")
    assert folder.calibration == tempered.calibration
    market = tiny_policy.validation()[0]
    state = market.table[market.market.usable]
    account = tiny_policy.accounts(len(state)).numpy()
    before, after = plain.probabilities(state, account), tempered.probabilities(state, account)
    assert np.abs(before - after).max() > 1e-3
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    np.testing.assert_array_equal(plain.act(state, account), tempered.act(state, account))


def test_calibration_is_that_of_the_labelled_rows(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path
) -> None:
    """Every label meets the uncalibrated answer of a flat account at its own market and bar."""
    from quantum_trader.agents.calibration import fit_calibration
    from quantum_trader.train.rl import fit as module

    told: dict[str, Any] = {}

    def noted(raw: Any, action: Any, *, hold_share: float) -> Any:
        told.update(raw=raw, action=action, hold_share=hold_share)
        return fit_calibration(raw, action, hold_share=hold_share)

    monkeypatch.setattr(module, "fit_calibration", noted)
    markets = tiny_policy.validation()
    bars = np.flatnonzero(markets[0].market.usable)[:6]
    labels = LabelledStates(
        market=np.array([1, 0, 0, 1, 1, 0]), bar=bars, action=np.array([0, 1, 2, 0, 1, 2]), hold_share=0.3
    )
    agent = fit(tmp_path, tiny_policy.short(1), labels=labels).agent
    assert agent is not None
    rows = np.stack([markets[m].table[t] for m, t in zip(labels.market, labels.bar, strict=True)])
    np.testing.assert_allclose(told["raw"], agent._raw(rows, None), atol=1e-7)
    np.testing.assert_array_equal(told["action"], labels.action)
    assert told["hold_share"] == 0.3


def test_a_policy_with_a_memory_gives_figures_only(fit: Fit, tmp_path: Path) -> None:
    """Recurrent PPO is trained and measured; there is no agent and no model folder."""
    found = fit(tmp_path, tiny_policy.short(1), "recurrent_ppo", labels=_labels())
    assert found.agent is None
    assert set(found.metrics) == METRICS | {"best_tried_utility"}
    assert not (tmp_path / "models").exists()


def test_orders_and_targets_are_both_learnt(fit: Fit, tmp_path: Path) -> None:
    """The policy's folder says whether its answers are orders or targets."""
    for actions in ("order", "target"):
        env = EnvConfig(actions=actions, random_start=True, episode_bars=50)  # type: ignore[arg-type]
        agent = fit(tmp_path / actions, replace(tiny_policy.short(1), env=env)).agent
        assert agent is not None
        assert agent.network.shape.actions == actions


def test_a_policy_that_only_loses_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path
) -> None:
    """Where no policy tried has a mean utility above 0, what is written stays out, its figures say so, and
    the best that was tried is named; where one has, it is kept."""
    from quantum_trader.train.rl import fit as module

    def judged(utility: float) -> Callable[..., Any]:
        def trial(policy: Any, *arguments: Any) -> Any:
            found = try_policy(policy, *arguments)
            return found._replace(utility=utility) if found.trades else found

        return trial

    config = replace(tiny_policy.short(2), stay_out=True)
    monkeypatch.setattr(module, "try_policy", judged(-0.5))
    lost = fit(tmp_path / "lost", config)
    assert lost.agent is not None
    assert not lost.agent.network.head.weight.any()
    assert lost.metrics["validation_trades"] == lost.metrics["validation_utility"] == 0.0
    assert lost.metrics["best_tried_utility"] == pytest.approx(-0.5)
    monkeypatch.setattr(module, "try_policy", judged(0.5))
    won = fit(tmp_path / "won", config)
    assert won.agent is not None
    assert won.agent.network.head.weight.any()
    assert won.metrics["validation_trades"] > 0
