"""Algorithms of stable-baselines3 and sb3-contrib by name, set up for the table of encoder outputs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from quantum_trader.envs.errors import ConfigError
from quantum_trader.train.rl.activation import SigmoidTanh
from quantum_trader.train.rl.config import ALGORITHMS, OFF_POLICY, Algorithm, RLConfig
from quantum_trader.train.rl.extractor import TableExtractor

_CLASSES = {
    "ppo": ("stable_baselines3", "PPO", "MultiInputPolicy"),
    "a2c": ("stable_baselines3", "A2C", "MultiInputPolicy"),
    "dqn": ("stable_baselines3", "DQN", "MultiInputPolicy"),
    "sac": ("stable_baselines3", "SAC", "MultiInputPolicy"),
    "maskable_ppo": ("sb3_contrib", "MaskablePPO", "MultiInputPolicy"),
    "recurrent_ppo": ("sb3_contrib", "RecurrentPPO", "MultiInputLstmPolicy"),
    "qrdqn": ("sb3_contrib", "QRDQN", "MultiInputPolicy"),
}
_A2C_STEPS = 8
"""A2C takes one gradient step per rollout: it lives from short ones."""
_LSTM_HIDDEN = 32
_QUANTILES = 32


def falling(start: float, final_share: float) -> Callable[[float], float]:
    """Schedule: `start` at the beginning, falling linearly to its `final_share`.

    The last rollout may end beyond the total, where what is left is below 0.
    """
    return lambda left: start * (final_share + (1.0 - final_share) * max(left, 0.0))


def build_algorithm(algorithm: Algorithm, env: VecEnv, config: RLConfig, step_ms: int) -> BaseAlgorithm:
    """An untrained model.

    Args:
        algorithm: its name.
        env: observes `Dict(embedding, account)`.
        config: hyper-parameters.
        step_ms: length of a bar, which decides the discount.

    Raises:
        ConfigError: unknown name, or sb3-contrib is missing.
    """
    if algorithm not in ALGORITHMS:
        raise ConfigError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}.")
    package, name, policy = _CLASSES[algorithm]
    try:
        kind = getattr(importlib.import_module(package), name)
    except ImportError as error:
        raise ConfigError(
            f"{algorithm} is part of sb3-contrib, which is not installed: "
            'pip install "quantum-trader[contrib]".'
        ) from error
    options = _off_policy(algorithm, config) if algorithm in OFF_POLICY else _on_policy(algorithm, config)
    model: BaseAlgorithm = kind(
        policy,
        env,
        learning_rate=falling(config.learning_rate, config.final_learning_rate),
        gamma=config.discount(step_ms),
        seed=config.seed,
        device="cpu",
        policy_kwargs=_policy_options(algorithm, config),
        **options,
    )
    return model


def _on_policy(algorithm: Algorithm, config: RLConfig) -> dict[str, Any]:
    common = {"gae_lambda": config.gae_lambda, "ent_coef": config.entropy_coef}
    if algorithm == "a2c":
        return common | {"n_steps": min(config.rollout_steps, _A2C_STEPS), "normalize_advantage": True}
    return common | {
        "n_steps": config.rollout_steps,
        "batch_size": min(config.batch_size, config.num_envs * config.rollout_steps),
        "n_epochs": config.epochs,
        "clip_range": falling(config.clip_range, config.final_clip_range),
    }


def _off_policy(algorithm: Algorithm, config: RLConfig) -> dict[str, Any]:
    settings = config.off_policy
    common = {
        "buffer_size": settings.buffer_size,
        "learning_starts": settings.learning_starts,
        "batch_size": settings.batch_size,
        "gradient_steps": settings.gradient_steps,
        "train_freq": 1,
    }
    if algorithm == "sac":
        return common
    return common | {
        "target_update_interval": settings.target_update_interval,
        "exploration_fraction": settings.exploration_share,
        "exploration_final_eps": settings.exploration_end,
    }


def _policy_options(algorithm: Algorithm, config: RLConfig) -> dict[str, Any]:
    actor, critic = list(config.layers), list(config.critic_layers)
    options: dict[str, Any] = {
        "features_extractor_class": TableExtractor,
        "features_extractor_kwargs": {"account_hidden": config.account_hidden},
        "activation_fn": SigmoidTanh,
        "net_arch": {"pi": actor, "vf": critic},
    }
    if algorithm == "sac":
        return options | {"net_arch": {"pi": actor, "qf": critic}}
    if algorithm in ("dqn", "qrdqn"):
        # Their one network has to value actions, which takes what a critic takes.
        options["net_arch"] = critic
    if algorithm == "qrdqn":
        options["n_quantiles"] = _QUANTILES
    if algorithm == "recurrent_ppo":
        options |= {"lstm_hidden_size": _LSTM_HIDDEN, "shared_lstm": True, "enable_critic_lstm": False}
    return options
