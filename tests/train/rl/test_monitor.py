"""Which policy is kept and when training stops, on validation results written down here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger

from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.rl.monitor import TrainingMonitor, Watch
from quantum_trader.train.rl.validation import ValidationResult

from . import tiny_policy
from .test_scalars import RESULT
from .tiny_policy import ROLLOUT


class Trained:
    """A tiny training whose validation results are `results`, one for each evaluation."""

    def __init__(self, checkpoint: Path, results: Sequence[float], watch: Watch) -> None:
        self.results = list(results)
        self.tried: list[dict[str, torch.Tensor]] = []
        self.steps: list[int] = []
        config = RLConfig(**(vars(tiny_policy.CONFIG) | {"total_steps": watch.total_steps}))
        self.model, env = tiny_policy.model("ppo", config)
        self.model.set_logger(Logger(None, []))
        self.monitor = TrainingMonitor(self.model, env, self._trial, watch, checkpoint, config_sha256="hash")
        self.remaining = self.monitor.resume()
        if self.remaining:
            self.model.learn(self.remaining, callback=self.monitor, reset_num_timesteps=False)

    def _trial(self) -> ValidationResult:
        self.tried.append({name: value.clone() for name, value in self.model.policy.state_dict().items()})
        self.steps.append(self.model.num_timesteps)
        value = self.results[len(self.tried) - 1]
        return RESULT._replace(utility=value, log_return=10 * value)

    def kept(self) -> int:
        """Which of the policies that were tried is kept; the step size of the very last update is zero."""
        self.monitor.load_best()
        best = self.model.policy.state_dict()
        return next(number for number, state in enumerate(self.tried) if tiny_policy.same(state, dict(best)))


def _watch(rollouts: int, **changes: Any) -> Watch:
    options = {"evaluations": rollouts, "smoothing": 0.5, "patience": 0} | changes
    return Watch(total_steps=rollouts * ROLLOUT, **options)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint not yet there."""
    return tmp_path / "checkpoints" / "ppo.pt"


def test_kept_policy_has_the_best_smoothed_mean(checkpoint: Path) -> None:
    """The policy kept is the one at which the running mean of the utility, which begins at 0, was highest,
    and the metrics are its own: not the luckiest single result's, not the last one's."""
    # Running means with weight 1/2: 0.0, 0.5, 0.25, 0.525, 0.6625, 0.33125.
    trained = Trained(checkpoint, [0.0, 1.0, 0.0, 0.8, 0.8, 0.0], _watch(6))
    assert len(trained.tried) == 6
    assert trained.kept() == 4
    metrics = trained.monitor.metrics()
    assert (metrics["validation_utility"], metrics["validation_log_return"]) == (0.8, 8.0)
    assert metrics["validation_share_buy"] == RESULT.shares[1]


def test_mean_begins_at_nothing_earned(checkpoint: Path) -> None:
    """Losses weigh less at first: the first of equal losses has the best mean, but no number of them beats
    what comes close to staying out."""
    # Running means with weight 1/2: -0.5, -0.75, -0.875, -0.4375, -0.71875.
    assert Trained(checkpoint, [-1.0, -1.0, -1.0, 0.0, -1.0], _watch(5)).kept() == 3
    # -0.5, -0.75.
    assert Trained(checkpoint.with_name("other.pt"), [-1.0, -1.0], _watch(2)).kept() == 0


def test_without_smoothing_the_best_result_wins(checkpoint: Path) -> None:
    """With weight 1 the running mean is the newest result."""
    assert Trained(checkpoint, [0.0, 1.0, 0.5, 0.9], _watch(4, smoothing=1.0)).kept() == 1


def test_stops_when_patience_ends(checkpoint: Path) -> None:
    """Three evaluations without a better mean end training, also for a later start from the checkpoint; the
    policy that stopped it is not tried a second time."""
    watch = _watch(10, patience=3)
    # A second trial after the stop would find 9.0.
    trained = Trained(checkpoint, [0.0, 1.0, 0.4, 0.3, 0.2, 9.0], watch)
    assert len(trained.tried) == 5
    assert trained.model.num_timesteps < 6 * ROLLOUT
    assert trained.kept() == 1
    again = Trained(checkpoint, [], watch)
    assert again.remaining == 0
    assert again.monitor.metrics() == trained.monitor.metrics()
    again.monitor.load_best()
    assert tiny_policy.same(dict(again.model.policy.state_dict()), trained.tried[1])


def test_evaluations_are_spread_over_training(checkpoint: Path) -> None:
    """Evaluations come at the first update after each share of the steps, and once at the end."""
    # Due at 298, 596 and 894 of 896 steps, in rollouts of 128.
    trained = Trained(checkpoint, [0.0] * 4, _watch(7, evaluations=3))
    assert trained.steps == [3 * ROLLOUT, 5 * ROLLOUT, 7 * ROLLOUT]


def test_more_evaluations_than_rollouts(checkpoint: Path) -> None:
    """Where a rollout takes longer than the evaluations lie apart, each rollout is followed by one."""
    assert Trained(checkpoint, [0.0] * 4, _watch(3, evaluations=50)).steps == [128, 256, 384]


def test_tried_before_the_first_step(checkpoint: Path) -> None:
    """With `from_start` the policy is tried as it is given, and kept if training only makes it worse."""
    trained = Trained(checkpoint, [0.5, 0.4, 0.3], _watch(2, from_start=True, smoothing=1.0))
    assert trained.steps == [0, ROLLOUT, 2 * ROLLOUT]
    assert trained.kept() == 0


@pytest.mark.parametrize("wrong", [np.nan, -np.inf])
def test_a_result_that_is_no_number_stops_training(checkpoint: Path, wrong: float) -> None:
    """A result that is not finite is a `TrainingError`; the checkpoint before it stays."""
    with pytest.raises(TrainingError, match=rf"is {wrong} after 256 steps: lower learning_rate"):
        Trained(checkpoint, [0.5, wrong], _watch(4))
    resumed = Trained(checkpoint, [0.1, 0.1, 0.1], _watch(4))
    assert resumed.remaining == 3 * ROLLOUT
    assert resumed.monitor.metrics()["validation_utility"] == 0.5


def test_resumed_training_keeps_the_best_from_before(checkpoint: Path) -> None:
    """Best policy, running mean and patience count on across a cut."""
    watch = _watch(10, patience=4)
    with pytest.raises(IndexError):
        Trained(checkpoint, [0.0, 1.0, 0.4], watch)
    saved = torch.load(checkpoint, weights_only=True)["state"]
    assert saved["mean"] == pytest.approx(0.45)
    resumed = Trained(checkpoint, [0.4, 0.4, 0.4], watch)
    # Two more evaluations would be 0.425 and 0.4125 after the 0.45: the fourth without a better mean is last.
    assert len(resumed.tried) == 3
    resumed.monitor.load_best()
    assert tiny_policy.same(dict(resumed.model.policy.state_dict()), dict(saved["best_state"]))
    assert resumed.monitor.metrics()["validation_utility"] == 1.0


def test_entropy_bonus_falls(checkpoint: Path) -> None:
    """The bonus follows its schedule by the steps done before each rollout."""
    model, env = tiny_policy.model("ppo", tiny_policy.short(4))
    model.set_logger(Logger(None, []))
    seen: list[float] = []
    train = model.train

    def noted() -> None:
        seen.append(model.ent_coef)
        train()

    model.train = noted
    monitor = TrainingMonitor(
        model, env, lambda: RESULT, _watch(4), checkpoint, config_sha256="hash", entropy=lambda left: 8 * left
    )
    model.learn(monitor.resume(), callback=monitor, reset_num_timesteps=False)
    assert seen == [8.0, 6.0, 4.0, 2.0]
