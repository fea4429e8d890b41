"""Which policy is kept, when training stops, and what is logged, on validation results written down here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train import ppo_callback
from quantum_trader.train.ppo import _model
from quantum_trader.train.ppo_callback import TrainingMonitor
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_validation import ValidationResult

from . import tiny_ppo
from .tiny_ppo import ROLLOUT


class Written:
    """Stands for `try_policy`: results from a list, with every network that was tried."""

    def __init__(self, returns: Sequence[float]) -> None:
        self.returns = list(returns)
        self.tried: list[dict[str, torch.Tensor]] = []

    def __call__(self, network: PolicyNetwork, *ignored: Any) -> ValidationResult:
        self.tried.append({name: value.clone() for name, value in network.state_dict().items()})
        value = self.returns[len(self.tried) - 1]
        return ValidationResult(log_return=value, shares=(0.2, 0.5, 0.3), turnover=value / 2, costs=0.1)


class Trained:
    """A tiny training whose validation results are `returns`, one for each rollout."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        checkpoint: Path,
        returns: Sequence[float],
        config: PPOConfig,
        logger: Logger | None = None,
    ) -> None:
        self.results = Written(returns)
        patch.setattr(ppo_callback, "try_policy", self.results)
        self.model: PPO = _model(tiny_ppo.train(), config)
        self.model.set_logger(logger or Logger(None, []))
        self.monitor = TrainingMonitor(tiny_ppo.validation(), config, checkpoint, config_sha256="hash")
        self.remaining = self.monitor.resume(self.model)
        if self.remaining:
            self.model.learn(self.remaining, callback=self.monitor, reset_num_timesteps=False)

    def kept(self) -> int:
        """Which of the networks that were tried is kept; the step size of the very last update is zero."""
        best = self.monitor.best_policy(self.model).state_dict()
        same = [
            all(torch.equal(best[name], value) for name, value in state.items())
            for state in self.results.tried
        ]
        return same.index(True)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint not yet there."""
    return tmp_path / "checkpoints" / "ppo.pt"


def test_kept_policy_has_the_best_smoothed_mean(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """The policy kept is the one at which the running mean was highest, and the metrics are its own: not the
    luckiest single result's, not the last one's."""
    # Running means with weight 1/2: 0.0, 0.5, 0.25, 0.525, 0.6625, 0.33125.
    returns = [0.0, 1.0, 0.0, 0.8, 0.8, 0.0]
    trained = Trained(monkeypatch, checkpoint, returns, tiny_ppo.short(6))
    assert len(trained.results.tried) == 6
    assert trained.kept() == 4
    assert trained.monitor.metrics() == {
        "validation_log_return": 0.8,
        "validation_hold_share": 0.2,
        "validation_buy_share": 0.5,
        "validation_sell_share": 0.3,
        "validation_turnover": 0.4,
    }


def test_without_smoothing_the_best_result_wins(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """With weight 1 the running mean is the newest result."""
    config = replace(tiny_ppo.short(4), smoothing=1.0)
    assert Trained(monkeypatch, checkpoint, [0.0, 1.0, 0.5, 0.9], config).kept() == 1


def test_stops_when_patience_ends(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """Three evaluations without a better mean end training, also for a later start from the checkpoint; the
    policy that stopped it is not tried a second time."""
    config = replace(tiny_ppo.short(10), patience=3)
    # A second trial after the stop would find 9.0.
    trained = Trained(monkeypatch, checkpoint, [0.0, 1.0, 0.4, 0.3, 0.2, 9.0], config)
    assert len(trained.results.tried) == 5
    assert trained.model.num_timesteps < 6 * ROLLOUT
    assert trained.kept() == 1
    again = Trained(monkeypatch, checkpoint, [], config)
    assert again.remaining == 0
    assert again.monitor.metrics() == trained.monitor.metrics()


def test_evaluations_are_spread_over_training(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """Evaluations come at the first update after each share of the steps, and once at the end."""
    config = replace(tiny_ppo.short(7), evaluations=3)
    steps: list[int] = []
    evaluate = TrainingMonitor._evaluate

    def noted(monitor: TrainingMonitor) -> None:
        steps.append(monitor.num_timesteps)
        evaluate(monitor)

    monkeypatch.setattr(TrainingMonitor, "_evaluate", noted)
    Trained(monkeypatch, checkpoint, [0.0] * 4, config)
    # Due at 298, 596 and 894 of 896 steps, in rollouts of 128.
    assert steps == [3 * ROLLOUT, 5 * ROLLOUT, 7 * ROLLOUT]


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_a_result_that_is_no_number_stops_training(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path, wrong: float
) -> None:
    """A validation return that is not finite is a `TrainingError`; the checkpoint before it stays."""
    with pytest.raises(TrainingError, match=rf"return is {wrong} after 256 steps: lower learning_rate"):
        Trained(monkeypatch, checkpoint, [0.5, wrong], tiny_ppo.short(4))
    resumed = Trained(monkeypatch, checkpoint, [0.1, 0.1, 0.1], tiny_ppo.short(4))
    assert resumed.remaining == 3 * ROLLOUT
    assert resumed.monitor.metrics()["validation_log_return"] == 0.5


def test_resumed_training_keeps_the_best_from_before(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    """Best policy, running mean and patience count on across a cut."""
    config = replace(tiny_ppo.short(10), patience=4)
    with pytest.raises(IndexError):
        Trained(monkeypatch, checkpoint, [0.0, 1.0, 0.4], config)
    saved = torch.load(checkpoint, weights_only=True)["state"]
    assert saved["mean"] == pytest.approx(0.45)
    resumed = Trained(monkeypatch, checkpoint, [0.4, 0.4, 0.4], config)
    # Two more evaluations would be 0.425 and 0.4125 after the 0.45: the fourth without a better mean is last.
    assert len(resumed.results.tried) == 3
    best = resumed.monitor.best_policy(resumed.model)
    assert torch.equal(best.head.weight, saved["best_state"]["action_net.weight"])
    assert resumed.monitor.metrics()["validation_log_return"] == 1.0


def test_resumed_training_draws_anew(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """After a cut, episodes and samples are not those that training began with."""
    firsts: list[Any] = []
    collect = PPO.collect_rollouts

    def noted(model: PPO, *arguments: Any, **options: Any) -> bool:
        done = collect(model, *arguments, **options)
        firsts.append(model.rollout_buffer.actions.copy())
        return done

    monkeypatch.setattr(PPO, "collect_rollouts", noted)
    config = replace(tiny_ppo.short(4), learning_rate=1e-12)
    with pytest.raises(IndexError):
        Trained(monkeypatch, checkpoint, [0.0], config)
    cut = len(firsts)
    Trained(monkeypatch, checkpoint, [0.0] * 3, config)
    assert (firsts[0] != firsts[cut]).any()


def test_scalars_of_every_evaluation_are_logged(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """Every evaluation's figures reach the log, the last one's included."""
    dumped: list[dict[str, Any]] = []

    class Kept(Logger):
        def dump(self, step: int = 0) -> None:
            dumped.append(dict(self.name_to_value))
            super().dump(step)

    returns = [0.25, 0.5, 0.75]
    Trained(monkeypatch, checkpoint, returns, tiny_ppo.short(3), Kept(None, []))
    seen = [each["validation/log_return"] for each in dumped if "validation/log_return" in each]
    assert seen == returns
    assert dumped[-1]["validation/log_return_mean"] == pytest.approx(0.5625)
    assert {f"validation/share_{name}" for name in ("hold", "buy", "sell")} < set(dumped[-1])
