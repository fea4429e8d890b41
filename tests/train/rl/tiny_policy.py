"""A training small enough for tests: one synthetic market, a random encoder, rollouts of 128 steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.envs.observe import ACCOUNT_SIZE
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.rl.algorithms import build_algorithm
from quantum_trader.train.rl.config import Algorithm, OffPolicyConfig, RLConfig
from quantum_trader.train.rl.environment import TrainingVecEnv, training_env
from quantum_trader.train.rl.scale import fit_scale, set_scale
from quantum_trader.train.rl.table import EncodedMarket, encode_market

from ...agents.tiny_tft import tiny_tft

ROLLOUT = 128
"""Steps of all accounts between two updates of PPO, and between two evaluations."""

EXPORTED: tuple[Algorithm, ...] = ("ppo", "a2c", "dqn", "sac", "qrdqn", "maskable_ppo")
"""Algorithms whose policy is a function of what it is shown."""

CONFIG = RLConfig(
    total_steps=6 * ROLLOUT,
    num_envs=4,
    rollout_steps=ROLLOUT // 4,
    batch_size=64,
    epochs=2,
    account_hidden=8,
    layers=(16, 12),
    critic_layers=(16,),
    # The buffer is written over once, and the target network is renewed, before the training ends.
    off_policy=OffPolicyConfig(
        buffer_size=500, learning_starts=100, batch_size=16, target_update_interval=64, exploration_share=0.8
    ),
    warm_start=False,
    # Its own weights are looked at, however little they earn.
    stay_out=False,
    evaluations=6,
    patience=0,
    seed=7,
    env=EnvConfig(actions="target", random_start=True, episode_bars=50),
)


@cache
def tft() -> TFTAgent:
    """The encoder; not saved, so without a hash."""
    return tiny_tft()


@cache
def market() -> Market:
    """900 bars, of which the first 260 warm up."""
    bars = synthetic_bars(SyntheticConfig(bars=900, seed=1, symbol="TINY"))
    return Market.build(bars, FuturesContract(name="tiny"))


@cache
def train(features: PolicyFeatures = "outputs") -> tuple[EncodedMarket, ...]:
    """The training slice."""
    return (encode_market(tft(), market().rows(0, 600), features),)


@cache
def validation(features: PolicyFeatures = "outputs") -> tuple[EncodedMarket, ...]:
    """The validation slice and its mirror image: 60 decisions each."""
    cuts = [each.rows(541, 661) for each in (market(), mirrored_market(market()))]
    return tuple(encode_market(tft(), cut, features) for cut in cuts)


def short(rollouts: int) -> RLConfig:
    """`CONFIG` for so many rollouts, evaluated after each."""
    return replace(CONFIG, total_steps=rollouts * ROLLOUT, evaluations=rollouts)


def model(algorithm: Algorithm = "ppo", config: RLConfig = CONFIG) -> tuple[Any, TrainingVecEnv]:
    """An untrained model on the training slice, and its environment."""
    markets = train(config.features)
    env = training_env(markets, config, algorithm)
    built = build_algorithm(algorithm, env, config, markets[0].market.bars.step_ms)
    set_scale(built.policy, *fit_scale(markets))
    return built, env


def seen(count: int) -> ModelInputs:
    """Windows and contexts of `count` bars."""
    bars = np.flatnonzero(market().usable)[10 : 10 + count]
    return ModelInputs(windows=gather(market().table, bars, WINDOW).copy(), context=market().context[bars])


def accounts(count: int, seed: int = 0) -> Tensor:
    """float32 [count, ACCOUNT_SIZE]: random accounts that are short, flat or long."""
    rng = np.random.default_rng(seed)
    found = rng.uniform(0, 1, (count, ACCOUNT_SIZE)).astype(np.float32)
    found[:, 0] = rng.integers(-1, 2, count)
    found[:, -1] = 0.0
    return torch.from_numpy(found)


def same(one: Any, other: Any) -> bool:
    """Whether nested dicts and sequences of tensors and plain values are equal to the bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and _bytes(one) == _bytes(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _bytes(values: Tensor) -> bytes:
    return values.detach().contiguous().numpy().tobytes()
