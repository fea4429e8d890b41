"""Rewards of the user's own: the same in the single and the vector environment, and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.layout import Records
from quantum_trader.envs.market import Market
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
CONFIG = EnvConfig(window=1, random_start=True, episode_bars=6)


def realised(before: Records, after: Records) -> Any:
    """Pays for closed trades only."""
    return after["balance"] - before["balance"] - 0.5 * (after["trades"] - before["trades"])


def market_of(make_market: MakeMarket) -> Market:
    return make_market((100 + np.cumsum(np.random.default_rng(0).normal(0, 1, 50))).tolist())


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_it_replaces_the_reward_everywhere(make_market: MakeMarket, mode: AutoresetMode) -> None:
    """Steps, histories and episode returns show it; a step that only starts an episode pays nothing."""
    market, count = market_of(make_market), 4
    env = FuturesTradingVectorEnv(market, count, CONFIG, autoreset_mode=mode, reward_function=realised)
    singles = [FuturesTradingEnv(market, CONFIG, reward_function=realised) for _ in range(count)]
    env.reset(seed=0)
    for i, single in enumerate(singles):
        single.reset(seed=i)
    random, done = np.random.default_rng(1), np.zeros(count, dtype=np.bool_)
    for _ in range(40):
        actions = random.integers(0, 3, count)
        _, rewards, terminated, truncated, infos = env.step(actions)
        for i, single in enumerate(singles):
            if done[i] and mode == AutoresetMode.NEXT_STEP:
                single.reset()
                assert rewards[i] == 0.0
                continue
            assert rewards[i] == single.step(actions[i])[1] == single.history().reward.iloc[-1]
            if terminated[i] or truncated[i]:
                total = infos["final_info"]["episode_return"][i]
                assert total == pytest.approx(single.history().reward.sum(), abs=1e-9)
                if mode == AutoresetMode.SAME_STEP:
                    single.reset()
        done = terminated | truncated


@pytest.mark.parametrize(
    ("function", "found"),
    [(lambda before, after: 1.0, r"shape \(\)"), (lambda before, after: [np.nan, 0.0], "not finite")],
)
def test_other_results_are_refused(make_market: MakeMarket, function: Any, found: str) -> None:
    """One finite number for each account, or one sentence."""
    env = FuturesTradingVectorEnv(market_of(make_market), 2, CONFIG, reward_function=function)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=found):
        env.step(np.zeros(2, dtype=int))
