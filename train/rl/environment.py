"""The vector environment that an algorithm trains in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.rl.config import Algorithm, RLConfig
from quantum_trader.train.rl.table import EncodedMarket


class TrainingVecEnv(VecEnvWrapper):
    """Accounts whose rewards are shaped for learning: penalties taken off, then scaled to order one.

    Args:
        accounts: the accounts.
        config: `risk_aversion`, `holding_penalty`, `turnover_penalty`, `reward_scale`.
        shared_start: so many successive accounts draw the same episodes.

    Attributes:
        held: float64 [num_envs], positions at the end of the last step, those of finished episodes included.
    """

    def __init__(self, accounts: FuturesTradingVectorEnv, config: RLConfig, *, shared_start: int = 1) -> None:
        venv: VecEnv = accounts.to_sb3()
        super().__init__(venv)
        self.accounts = accounts
        self.config = config
        self.shared_start = shared_start
        self.held = accounts.position

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the accounts of a group alike; the next reset applies it."""
        if seed is None:
            return self.venv.seed(seed)
        self.venv.seed(seed)
        groups = [seed + index // self.shared_start for index in range(self.num_envs)]
        self.venv._seeds = list(groups)
        return groups

    def reset(self) -> Any:
        """Observation after a reset of every account."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Observations, shaped rewards, dones, infos."""
        config, before = self.config, self.accounts.position
        observations, rewards, dones, infos = self.venv.step_wait()
        self.held = self.accounts.position
        for index in np.flatnonzero(dones):
            # The accounts themselves have begun anew.
            self.held[index] = infos[index]["final_info"]["position"]
        shaped = rewards - 0.5 * config.risk_aversion * rewards**2
        if config.holding_penalty:
            shaped -= config.holding_penalty * (self.held != 0.0)
        if config.turnover_penalty:
            shaped -= config.turnover_penalty * (np.sign(self.held) != np.sign(before))
        return observations, (config.reward_scale * shaped).astype(np.float32), dones, infos


def env_config(config: RLConfig, algorithm: Algorithm) -> EnvConfig:
    """The environment of `config` with the actions that an algorithm needs.

    SAC answers with a number, so its actions are continuous; MaskablePPO is about orders that change nothing,
    which targets do not have.
    """
    needed = {"sac": "continuous", "maskable_ppo": "order"}.get(algorithm)
    return config.env if needed is None else replace(config.env, actions=needed)  # type: ignore[arg-type]


def training_env(
    markets: Sequence[EncodedMarket], config: RLConfig, algorithm: Algorithm = "ppo"
) -> TrainingVecEnv:
    """`config.num_envs` accounts over all markets, observing the tables.

    Raises:
        ConfigError: a market is shorter than an episode.
    """
    accounts = FuturesTradingVectorEnv(
        [item.market for item in markets],
        num_envs=config.num_envs,
        config=env_config(config, algorithm),
        observation="table",
        tables=[item.table for item in markets],
    )
    return TrainingVecEnv(accounts, config)
