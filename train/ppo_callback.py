"""Watches PPO training: tries the policy on validation, keeps the best, writes checkpoints and scalars."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.checkpoint import read_checkpoint, write_checkpoint
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_export import export_policy
from quantum_trader.train.ppo_table import EncodedMarket
from quantum_trader.train.ppo_validation import ValidationResult, try_policy
from quantum_trader.train.progress import Progress


class TrainingMonitor(BaseCallback):
    """Evaluates every `total_steps / evaluations` steps and stops when the running mean stops rising.

    The policy kept is the one at whose evaluation an exponential mean of the validation log returns was
    highest: neither the last one nor the luckiest single result.

    Args:
        validation: what the policy is tried on.
        config: how often, and when to stop.
        checkpoint: file written at each evaluation and resumed from.
        config_sha256: hash of everything that decides the result; a checkpoint of another is refused.
    """

    def __init__(
        self,
        validation: Sequence[EncodedMarket],
        config: PPOConfig,
        checkpoint: Path,
        *,
        config_sha256: str,
    ) -> None:
        super().__init__()
        self._validation = validation
        self._config = config
        self._checkpoint, self._sha256 = checkpoint, config_sha256
        self._every = max(config.total_steps // config.evaluations, 1)
        self._due = self._every
        self._mean: float | None = None
        self._best_mean = -np.inf
        self._best_state: dict[str, Any] | None = None
        self._best_result: ValidationResult | None = None
        self._since_best = 0
        self._evaluated_at = 0
        self.progress: Progress | None = None

    def resume(self, model: PPO) -> int:
        """Load the checkpoint into `model`, if there is one; returns the steps still to do.

        Raises:
            TrainingError: the checkpoint is damaged, or of another configuration or other data.
        """
        saved = read_checkpoint(self._checkpoint, config_sha256=self._sha256)
        if saved is None:
            return self._config.total_steps
        model.policy.load_state_dict(saved["policy"])
        model.policy.optimizer.load_state_dict(saved["optimizer"])
        model.num_timesteps = self._evaluated_at = saved["steps"]
        # Episodes and samples yet unseen, not those that the first part began with.
        model.set_random_seed(self._config.seed + saved["steps"])
        self._mean, self._best_mean = saved["mean"], saved["best_mean"]
        self._best_state, self._since_best = saved["best_state"], saved["since_best"]
        self._best_result = ValidationResult(**saved["best_result"])
        self._due = saved["due"]
        return 0 if self._exhausted() else max(self._config.total_steps - saved["steps"], 0)

    def best_policy(self, model: PPO) -> PolicyNetwork:
        """The kept policy, exported."""
        if self._best_state is not None:
            model.policy.load_state_dict(self._best_state)
        return export_policy(model.policy, self._config)

    def metrics(self) -> dict[str, float]:
        """Validation figures of the kept policy."""
        if self._best_result is None:
            return {}
        result = self._best_result
        return {
            "validation_log_return": result.log_return,
            "validation_hold_share": result.shares[0],
            "validation_buy_share": result.shares[1],
            "validation_sell_share": result.shares[2],
            "validation_turnover": result.turnover,
        }

    def _on_step(self) -> bool:
        return not self._exhausted()

    def _on_rollout_end(self) -> None:
        if self.progress is not None:
            self.progress.update(self.num_timesteps)

    def _on_rollout_start(self) -> None:
        """After an update, when the policy is whole: evaluate if it is time."""
        if self.num_timesteps >= self._due:
            self._due += self._every
            self._evaluate()

    def _on_training_end(self) -> None:
        # After an early stop the policy is still the one that was evaluated last.
        if not self._exhausted() and self.num_timesteps != self._evaluated_at:
            self._evaluate()
        self.logger.dump(self.num_timesteps)

    def _evaluate(self) -> None:
        refuse_broken_weights(self.model)
        network = export_policy(self.model.policy, self._config)
        result = try_policy(network, self._validation, self._config.env)
        if not np.isfinite(result.log_return):
            raise TrainingError(
                f"PPO's validation return is {result.log_return} after {self.num_timesteps} steps: "
                f"lower learning_rate (now {self._config.learning_rate:g})."
            )
        self._evaluated_at = self.num_timesteps
        weight = self._config.smoothing
        before = result.log_return if self._mean is None else self._mean
        self._mean = weight * result.log_return + (1 - weight) * before
        self._since_best += 1
        if self._mean > self._best_mean:
            self._best_mean, self._since_best = self._mean, 0
            self._best_state = copy.deepcopy(self.model.policy.state_dict())
            self._best_result = result
        self._record(result)
        self._save()

    def _exhausted(self) -> bool:
        return 0 < self._config.patience <= self._since_best

    def _record(self, result: ValidationResult) -> None:
        scalars = {
            "validation/log_return": result.log_return,
            "validation/log_return_mean": self._mean,
            "validation/share_hold": result.shares[0],
            "validation/share_buy": result.shares[1],
            "validation/share_sell": result.shares[2],
            "validation/turnover": result.turnover,
            "validation/costs": result.costs,
        }
        for name, value in scalars.items():
            self.logger.record(name, value)

    def _save(self) -> None:
        assert self._best_result is not None
        state = {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "steps": self.num_timesteps,
            "due": self._due,
            "mean": self._mean,
            "best_mean": self._best_mean,
            "best_state": self._best_state,
            "best_result": self._best_result._asdict(),
            "since_best": self._since_best,
        }
        write_checkpoint(self._checkpoint, state, config_sha256=self._sha256)


def refuse_broken_weights(model: BaseAlgorithm) -> None:
    """Raises `TrainingError` if a weight is not finite."""
    if not all(bool(torch.isfinite(weight).all()) for weight in model.policy.parameters()):
        raise TrainingError(
            f"PPO's weights are no longer finite after {model.num_timesteps} steps: lower learning_rate."
        )
