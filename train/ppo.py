"""Trains PPO (stable-baselines3) on the table of TFT encoder outputs, and exports the best policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from quantum_trader.agents.folder import Provenance, software_version
from quantum_trader.agents.ppo_agent import PPOAgent
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.ppo_callback import TrainingMonitor
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_extractor import TableExtractor
from quantum_trader.train.ppo_table import EncodedMarket


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

    Args:
        train: markets cut to the training range, with their tables.
        validation: markets cut to the validation range; they choose the policy and nothing else.
        tft: the agent whose encoder made the tables.
        encoder_folder: its model folder, copied into the policy's.
        config: everything else.
        folder: the model folder to write.
        work: where checkpoints and TensorBoard logs go; training that was cut off goes on from there.
        data_sha256: hash of the data, kept as provenance.

    Raises:
        TrainingError: no market is long enough, or the policy's output is not finite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(config.num_threads)
    try:
        model = _model(train, config, work)
        monitor = TrainingMonitor(validation, config, work / "checkpoints" / "ppo.pt")
        remaining = config.total_steps - monitor.resume(model)
        if remaining > 0:
            model.learn(remaining, callback=monitor, reset_num_timesteps=False)
    finally:
        torch.set_num_threads(threads)
    agent = PPOAgent(monitor.best_policy(model), tft)
    provenance = Provenance(
        feature_set=FEATURE_SET_VERSION,
        data_sha256=data_sha256,
        seed=config.seed,
        created_with=software_version(),
        metrics=monitor.metrics(),
    )
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


def _model(train: Sequence[EncodedMarket], config: PPOConfig, work: Path) -> PPO:
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
        learning_rate=lambda left: config.learning_rate * left,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coef,
        seed=config.seed,
        device="cpu",
        tensorboard_log=str(work / "tensorboard"),
        policy_kwargs={
            "features_extractor_class": TableExtractor,
            "features_extractor_kwargs": {"account_hidden": config.account_hidden},
            "net_arch": {"pi": list(config.layers), "vf": list(config.layers)},
            "activation_fn": torch.nn.Tanh,
        },
    )
