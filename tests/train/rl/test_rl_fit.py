"""Fitting PPO: one seed one result, resumed, refused where data or settings changed, nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from quantum_trader.agents.folder import load_model_folder
from quantum_trader.agents.ppo_agent import WEIGHTS, PPOAgent
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train import ppo, ppo_callback
from quantum_trader.train.ppo import ScaledReward, fit_ppo
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_table import EncodedMarket
from quantum_trader.train.ppo_validation import ValidationResult, try_policy
from quantum_trader.train.progress import Progress

from ..agents.tiny_tft import tiny_tft
from . import tiny_ppo
from .tiny_ppo import CONFIG, ROLLOUT

METRICS = {
    "validation_log_return",
    "validation_hold_share",
    "validation_buy_share",
    "validation_sell_share",
    "validation_turnover",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the encoder that the tables come from."""
    folder = tmp_path_factory.mktemp("encoder") / "tft"
    tiny_ppo.tft().save(folder)
    return folder


Fit = Callable[..., PPOAgent]


@pytest.fixture(scope="module")
def fit(encoder: Path) -> Fit:
    """`fit_ppo` on the tiny world, below a folder of its own."""

    def run(
        folder: Path,
        config: PPOConfig = CONFIG,
        *,
        train: Sequence[EncodedMarket] | None = None,
        tft: TFTAgent | None = None,
        data: str = "data",
    ) -> PPOAgent:
        return fit_ppo(
            tiny_ppo.train() if train is None else train,
            tiny_ppo.validation(),
            tft=tft or tiny_ppo.tft(),
            encoder_folder=encoder,
            config=config,
            folder=folder / "models" / "ppo",
            work=folder,
            data_sha256=data,
        )

    return run


@pytest.fixture(scope="module")
def fitted(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(folder)
    return folder


def _weights(folder: Path) -> bytes:
    return (folder / "models" / "ppo" / WEIGHTS).read_bytes()


def _checkpoint(folder: Path) -> dict[str, Any]:
    saved = torch.load(folder / "checkpoints" / "ppo.pt", weights_only=True)["state"]
    assert isinstance(saved, dict)
    return saved


def _cut_off(monkeypatch: pytest.MonkeyPatch, fit: Fit, folder: Path, evaluations: int) -> list[int]:
    """Train up to a Ctrl-C in the evaluation after so many; returns a list to which later ones add up."""
    done: list[int] = []

    def counted(*arguments: Any) -> ValidationResult:
        if len(done) == evaluations:
            raise KeyboardInterrupt
        done.append(len(done))
        return try_policy(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ppo_callback, "try_policy", counted)
        with pytest.raises(KeyboardInterrupt):
            fit(folder)
    return done


def test_folder_holds_what_was_measured(fitted: Path) -> None:
    """The model folder loads, its provenance has the kept policy's figures, and they are true; logs and
    checkpoint lie where they are looked for."""
    agent = PPOAgent.load(fitted / "models" / "ppo", tft=tiny_ppo.tft())
    assert agent.tft is tiny_ppo.tft()
    provenance = load_model_folder(fitted / "models" / "ppo").provenance
    assert set(provenance.metrics) == METRICS
    assert (provenance.seed, provenance.data_sha256) == (CONFIG.seed, "data")
    again = try_policy(agent.network, tiny_ppo.validation(), CONFIG.env)
    assert again.log_return == provenance.metrics["validation_log_return"]
    assert sum(again.shares) == pytest.approx(1.0)
    assert _checkpoint(fitted)["steps"] == CONFIG.total_steps
    assert [path.name for path in (fitted / "tensorboard").iterdir()] == ["ppo"]
    assert len(list((fitted / "tensorboard" / "ppo").glob("events.*"))) == 1


def test_same_seed_same_weights(fit: Fit, fitted: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights to the bit, another seed others."""
    fit(tmp_path / "same")
    assert _weights(tmp_path / "same") == _weights(fitted)
    fit(tmp_path / "other", replace(CONFIG, seed=8))
    assert _weights(tmp_path / "other") != _weights(fitted)


def test_leaves_the_process_as_it_was(fit: Fit, tmp_path: Path) -> None:
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
    fit(tmp_path, replace(tiny_ppo.short(1), num_threads=2))
    assert drawn() == expected
    assert torch.get_num_threads() == threads


def test_cut_off_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fit: Fit, tmp_path: Path
) -> None:
    """Cut off after three evaluations, training goes on from there: steps, optimiser, best policy and mean
    continue, progress starts where it stopped, and the folder is written at the end."""
    done = _cut_off(monkeypatch, fit, tmp_path, 3)
    assert len(done) == 3
    assert not (tmp_path / "models").exists()
    before = _checkpoint(tmp_path)
    assert before["steps"] == 3 * ROLLOUT
    assert before["due"] == 4 * ROLLOUT
    begun: list[Any] = []
    learn = PPO.learn

    def watched(model: PPO, *arguments: Any, **options: Any) -> PPO:
        begun.extend([model.num_timesteps, model.policy.action_net.weight.detach().clone()])
        return learn(model, *arguments, **options)

    class Watched(Progress):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            begun.append(options["start"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(ppo, "Progress", Watched)
    monkeypatch.setattr(PPO, "learn", watched)
    fit(tmp_path)
    assert begun[:2] == [3 * ROLLOUT, 3 * ROLLOUT]
    assert torch.equal(begun[2], before["policy"]["action_net.weight"])
    after = _checkpoint(tmp_path)
    assert after["steps"] == CONFIG.total_steps
    assert after["best_mean"] >= before["best_mean"]
    steps = [state["state"][0]["step"].item() for state in (before["optimizer"], after["optimizer"])]
    assert steps[1] / steps[0] == pytest.approx(10 / 3)
    metrics = load_model_folder(tmp_path / "models" / "ppo").provenance.metrics
    assert set(metrics) == METRICS
    assert "ppo: 1,280/1,280 steps" in capsys.readouterr().err


def test_finished_training_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, fitted: Path, tmp_path: Path
) -> None:
    """Where the checkpoint is that of a finished training, its best policy is written and nothing trained."""
    (tmp_path / "checkpoints").mkdir()
    source = fitted / "checkpoints" / "ppo.pt"
    (tmp_path / "checkpoints" / "ppo.pt").write_bytes(source.read_bytes())
    monkeypatch.setattr(PPO, "learn", None)
    fit(tmp_path, replace(CONFIG, num_threads=0))
    assert _weights(tmp_path) == _weights(fitted)
    assert not (tmp_path / "tensorboard").exists()


def test_checkpoint_of_other_settings_or_data_is_refused(fit: Fit, fitted: Path) -> None:
    """Other settings, other data, another range of it or other costs: the checkpoint is refused with a
    remedy, and the finished model stays."""
    weights = _weights(fitted)
    refused = "another configuration or other data: delete it"
    (whole,) = tiny_ppo.train()
    cut = EncodedMarket(market=whole.market.rows(0, 500), table=whole.table[:500])
    contract = replace(whole.market.contract, taker_fee=0.0)
    free = EncodedMarket(market=replace(whole.market, contract=contract), table=whole.table)
    for change in (
        {"config": replace(CONFIG, learning_rate=1e-3)},
        {"config": replace(CONFIG, env=replace(CONFIG.env, leverage=2.0))},
        {"data": "other data"},
        {"train": [cut]},
        {"train": [free]},
    ):
        with pytest.raises(TrainingError, match=refused):
            fit(fitted, **change)
    assert _weights(fitted) == weights


def test_unusable_ingredients_are_named(fit: Fit, tmp_path: Path) -> None:
    """No markets, another encoder than the folder's, and episodes longer than the data are refused."""
    with pytest.raises(TrainingError, match="no training markets"):
        fit(tmp_path, train=[])
    with pytest.raises(TrainingError, match="folder it was loaded from"):
        fit(tmp_path, tft=tiny_tft(seed=4))
    with pytest.raises(ConfigError, match="TINY: episode_bars 5000"):
        fit(tmp_path, replace(CONFIG, env=EnvConfig(random_start=True, episode_bars=5_000)))
    assert not (tmp_path / "models").exists()


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
        fit(tmp_path, replace(tiny_ppo.short(2), evaluations=1))
    assert not (tmp_path / "models").exists()


def test_rewards_are_scaled() -> None:
    """The learner sees rewards times the factor; episode returns in infos stay as they were."""
    config = EnvConfig(episode_bars=3)
    plain, scaled = (
        FuturesTradingVectorEnv([tiny_ppo.market()], num_envs=2, config=config).to_sb3() for _ in range(2)
    )
    wrapped = ScaledReward(scaled, 100.0)
    plain.reset()
    wrapped.reset()
    for action in (1, 0, 2):
        _, rewards, _, infos = plain.step(np.array([action, 0]))
        _, found, _, found_infos = wrapped.step(np.array([action, 0]))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, rewards * np.float32(100.0))
    assert found_infos[0]["episode"]["r"] == infos[0]["episode"]["r"]
    assert abs(rewards[0]) > 0


def test_step_size_never_turns_negative(fit: Fit, tmp_path: Path) -> None:
    """Where the last rollout ends beyond `total_steps`, the step size ends at zero: below it, the last update
    would climb the loss."""
    config = replace(CONFIG, total_steps=ROLLOUT + 1, evaluations=2)
    fit(tmp_path, config)
    saved = _checkpoint(tmp_path)
    assert saved["steps"] == 2 * ROLLOUT
    assert saved["optimizer"]["param_groups"][0]["lr"] == 0.0
