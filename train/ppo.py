"""Trains PPO (stable-baselines3) on the table of TFT encoder outputs, and exports the best policy."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from quantum_trader.agents.folder import Provenance, load_model_folder
from quantum_trader.agents.ppo_agent import PPOAgent
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.precision import torch_threads
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.ppo_callback import TrainingMonitor, refuse_broken_weights
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_extractor import TableExtractor
from quantum_trader.train.ppo_table import EncodedMarket
from quantum_trader.train.progress import Progress


def fit_ppo(
    train: Sequence[EncodedMarket],
    validation: Sequence[EncodedMarket],
    *,
    tft: TFTAgent,
    encoder_folder: Path,
    config: PPOConfig,
    folder: Path,
    work: Path,
    data_sha256: str,
) -> PPOAgent:
    """Train, keep the policy that does best on validation, write its model folder.

    Training that was cut off goes on from its last evaluation, with the best policy so far. Random state and
    threads of the process are as before when this returns.

    Args:
        train: markets cut to the training range, with their tables.
        validation: markets cut to the validation range; they choose the policy and nothing else.
        tft: the agent whose encoder made the tables.
        encoder_folder: the model folder it was loaded from, copied into the policy's.
        config: everything else.
        folder: the model folder to write.
        work: checkpoints go to `work/checkpoints/ppo.pt`, logs to `work/tensorboard/ppo`.
        data_sha256: hash of the data, kept as provenance and checked on resuming.

    Raises:
        TrainingError: no markets, another encoder than the one in `encoder_folder`, weights that are not
            finite, or a checkpoint of another configuration.
        ConfigError: a training market is shorter than an episode.
    """
    for name, markets in (("training", train), ("validation", validation)):
        if not markets:
            raise TrainingError(f"There are no {name} markets: give longer data or move the split dates.")
    if load_model_folder(encoder_folder, kind="tft").sha256 != tft.model_hash:
        raise TrainingError(f"{encoder_folder} is not the given TFT's: give the folder it was loaded from.")
    with torch_threads(config.num_threads), _kept_random_state():
        model = _model(train, config)
        monitor = TrainingMonitor(
            validation,
            config,
            work / "checkpoints" / "ppo.pt",
            config_sha256=_identity(train, validation, config, tft.model_hash, data_sha256),
        )
        remaining = monitor.resume(model)
        if remaining > 0:
            _learn(model, monitor, remaining, work / "tensorboard" / "ppo")
        agent = PPOAgent(monitor.best_policy(model), tft)
    provenance = Provenance.now(data_sha256=data_sha256, seed=config.seed, metrics=monitor.metrics())
    agent.save(folder, provenance=provenance, encoder_folder=encoder_folder)
    return PPOAgent.load(folder, tft=tft)


class ScaledReward(VecEnvWrapper):
    """Multiplies rewards by a constant, so that the value loss sees numbers of order one."""

    def __init__(self, venv: VecEnv, factor: float) -> None:
        super().__init__(venv)
        self.factor = factor

    def reset(self) -> Any:
        """Observation after a reset of every environment."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Observations, scaled rewards, dones, infos."""
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards * np.float32(self.factor), dones, infos


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Stable-Baselines3 seeds the generators of the whole process: put them back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _identity(
    train: Sequence[EncodedMarket],
    validation: Sequence[EncodedMarket],
    config: PPOConfig,
    encoder_sha256: str,
    data_sha256: str,
) -> str:
    """Hash of everything that decides how training goes on."""
    # The number of threads may change between two parts of one training.
    return json_sha256(
        {
            "config": to_plain(replace(config, num_threads=0)),
            "encoder": encoder_sha256,
            "data": data_sha256,
            "train": [_extent(item) for item in train],
            "validation": [_extent(item) for item in validation],
        }
    )


def _extent(item: EncodedMarket) -> list[Any]:
    times = item.market.bars.timestamp
    return [item.market.symbol, int(times[0]), int(times[-1]), to_plain(item.market.contract)]


def _learn(model: PPO, monitor: TrainingMonitor, steps: int, log: Path) -> None:
    model.set_logger(configure(str(log), ["tensorboard"]))
    total = model.num_timesteps + steps
    try:
        with Progress("ppo", total=total, unit="steps", start=model.num_timesteps) as monitor.progress:
            model.learn(steps, callback=monitor, reset_num_timesteps=False)
    except (ValueError, RuntimeError):
        # What torch raises for probabilities that are not numbers, with and without checks of its own.
        refuse_broken_weights(model)
        raise
    finally:
        model.logger.close()


def _model(train: Sequence[EncodedMarket], config: PPOConfig) -> PPO:
    envs = FuturesTradingVectorEnv(
        [item.market for item in train],
        num_envs=config.num_envs,
        config=config.env,
        observation="table",
        tables=[item.table for item in train],
    )
    venv = ScaledReward(envs.to_sb3(), config.reward_scale)
    return PPO(
        "MultiInputPolicy",
        venv,
        n_steps=config.rollout_steps,
        batch_size=min(config.batch_size, config.num_envs * config.rollout_steps),
        n_epochs=config.epochs,
        # The last rollout may end beyond `total_steps`, where `left` is below 0.
        learning_rate=lambda left: config.learning_rate * max(left, 0.0),
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coef,
        seed=config.seed,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": TableExtractor,
            "features_extractor_kwargs": {"account_hidden": config.account_hidden},
            "net_arch": {"pi": list(config.layers), "vf": list(config.layers)},
            "activation_fn": torch.nn.Tanh,
        },
    )
