"""A training small enough for tests: one synthetic market, a random encoder, rollouts of 128 steps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.train.ppo_config import PPOConfig
from quantum_trader.train.ppo_table import EncodedMarket, encode_market

from ..agents.tiny_tft import tiny_tft

ROLLOUT = 128
"""Steps of all accounts between two updates, and between two evaluations."""

CONFIG = PPOConfig(
    total_steps=10 * ROLLOUT,
    num_envs=4,
    rollout_steps=ROLLOUT // 4,
    batch_size=64,
    epochs=2,
    account_hidden=8,
    layers=(16, 12),
    evaluations=10,
    patience=0,
    seed=7,
    env=EnvConfig(random_start=True, episode_bars=50),
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
def train() -> tuple[EncodedMarket, ...]:
    """The training slice."""
    return (encode_market(tft(), market().rows(0, 600)),)


@cache
def validation() -> tuple[EncodedMarket, ...]:
    """The validation slice: 100 decisions."""
    return (encode_market(tft(), market().rows(541, 701)),)


def short(rollouts: int) -> PPOConfig:
    """`CONFIG` for fewer rollouts, evaluated after each."""
    return replace(CONFIG, total_steps=rollouts * ROLLOUT, evaluations=rollouts)
