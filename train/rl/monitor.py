"""Watches training: tries the policy on validation, keeps the best, writes checkpoints and scalars."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.checkpoint import read_checkpoint, write_checkpoint
from quantum_trader.train.progress import Progress
from quantum_trader.train.rl.environment import TrainingVecEnv
from quantum_trader.train.rl.scalars import TrainingScalars, result_metrics, validation_scalars
from quantum_trader.train.rl.state import capture, restore
from quantum_trader.train.rl.validation import ValidationResult

Trial = Callable[[], ValidationResult]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How training is watched."""

    total_steps: int
    """Environment steps in all."""
    evaluations: int
    """How often the policy is tried."""
    smoothing: float
    """Weight of the newest result in the running mean."""
    patience: int
    """Evaluations without a better mean before training stops; 0 never stops."""
    from_start: bool = False
    """Whether the policy is tried before the first step, too."""


class TrainingMonitor(BaseCallback):
    """Evaluates every `total_steps / evaluations` steps and stops when the running mean stops rising.

    The policy kept is the one at whose evaluation an exponential mean of the validation utility was
    highest: neither the last one nor the luckiest single result. The mean begins at 0, which is what staying
    out earns, so that the first gains count less; the first losses count in full.

    Args:
        model: what is trained.
        env: what it is trained in.
        trial: tries the model as it is on the validation slice.
        watch: how often, and when to stop.
        checkpoint: file written at each evaluation and resumed from.
        config_sha256: hash of everything that decides the result; a checkpoint of another is refused.
        entropy: the entropy bonus by the share of the training that is left, for algorithms with a constant
            one; None leaves it alone.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        env: TrainingVecEnv,
        trial: Trial,
        watch: Watch,
        checkpoint: Path,
        *,
        config_sha256: str,
        entropy: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._env, self._trial, self._watch = env, trial, watch
        self._checkpoint, self._sha256 = checkpoint, config_sha256
        self._every = max(watch.total_steps // watch.evaluations, 1)
        self._due = 0 if watch.from_start else self._every
        self._count = 0
        self._mean = 0.0
        self._best_score = -np.inf
        self._best_state: dict[str, Any] | None = None
        self._best_result: ValidationResult | None = None
        self._since_best = 0
        self._evaluated_at = -1
        self._entropy = entropy
        self._scalars = TrainingScalars(env)
        self.progress: Progress | None = None

    def resume(self) -> int:
        """Load the checkpoint into the model, if there is one; returns the steps still to do.

        Raises:
            TrainingError: the checkpoint is damaged, or of another configuration or other data.
        """
        saved = read_checkpoint(self._checkpoint, config_sha256=self._sha256)
        if saved is None:
            return self._watch.total_steps
        restore(self.model, self._env, saved["training"])
        self._evaluated_at = self.model.num_timesteps
        self._count, self._mean, self._best_score = saved["count"], saved["mean"], saved["best_score"]
        self._best_state, self._since_best = saved["best_state"], saved["since_best"]
        self._best_result = ValidationResult(**saved["best_result"])
        self._due = saved["due"]
        self._scalars.restore(saved["scalars"])
        done = self.model.num_timesteps
        return 0 if self._exhausted() else max(self._watch.total_steps - done, 0)

    def load_best(self) -> None:
        """Put the kept policy into the model."""
        if self._best_state is not None:
            self.model.policy.load_state_dict(self._best_state)

    @property
    def best_score(self) -> float:
        """Mean utility of the kept policy."""
        return float(self._best_score)

    def metrics(self) -> dict[str, float]:
        """Validation figures of the kept policy."""
        return {} if self._best_result is None else result_metrics(self._best_result)

    def _on_step(self) -> bool:
        self._scalars.step(self.locals)
        return not self._exhausted()

    def _on_rollout_end(self) -> None:
        if self.progress is not None:
            self.progress.update(self.num_timesteps)

    def _on_rollout_start(self) -> None:
        """After an update, when the policy is whole: evaluate if it is time."""
        if self._entropy is not None:
            left = 1.0 - self.num_timesteps / self._watch.total_steps
            self.model.ent_coef = self._entropy(left)  # type: ignore[attr-defined]
        if self.num_timesteps >= self._due and self.num_timesteps != self._evaluated_at:
            self._due += self._every
            self._evaluate()

    def _on_training_end(self) -> None:
        # After an early stop the policy is still the one that was evaluated last.
        if not self._exhausted() and self.num_timesteps != self._evaluated_at:
            self._evaluate()
        self.logger.dump(self.num_timesteps)

    def _evaluate(self) -> None:
        refuse_broken_weights(self.model)
        result = self._trial()
        if not np.isfinite(result.utility):
            raise TrainingError(
                f"The validation result is {result.utility} after {self.num_timesteps} steps: "
                f"lower learning_rate."
            )
        self._evaluated_at = self.num_timesteps
        weight = self._watch.smoothing
        self._count += 1
        self._mean = weight * result.utility + (1 - weight) * self._mean
        # Early gains count less, early losses in full: or else the first of equally bad policies would win.
        score = min(self._mean, self._mean / (1 - (1 - weight) ** self._count))
        self._since_best += 1
        if score > self._best_score:
            self._best_score, self._since_best = score, 0
            self._best_state = copy.deepcopy(self.model.policy.state_dict())
            self._best_result = result
        figures = validation_scalars(result) | {"validation/utility_mean": self._mean}
        for name, value in (figures | self._scalars.take()).items():
            self.logger.record(name, value)
        # Some algorithms write rarely (A2C every 100 rollouts, DQN and SAC with episodes): later figures
        # would be written over these, or stand at another step.
        self.logger.dump(self.num_timesteps)
        self._save()

    def _exhausted(self) -> bool:
        return 0 < self._watch.patience <= self._since_best

    def _save(self) -> None:
        assert self._best_result is not None
        state = {
            "training": capture(self.model, self._env),
            "due": self._due,
            "mean": self._mean,
            "count": self._count,
            "best_score": float(self._best_score),
            "best_state": self._best_state,
            "best_result": self._best_result._asdict(),
            "since_best": self._since_best,
            "scalars": self._scalars.capture(),
        }
        write_checkpoint(self._checkpoint, state, config_sha256=self._sha256)


def refuse_broken_weights(model: BaseAlgorithm) -> None:
    """Raises `TrainingError` if a weight is not finite."""
    if not all(bool(torch.isfinite(weight).all()) for weight in model.policy.parameters()):
        raise TrainingError(
            f"The policy's weights are no longer finite after {model.num_timesteps} steps: "
            "lower learning_rate."
        )
