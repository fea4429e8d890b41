"""Action masks: exactly the actions that differ from HOLD are allowed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_masked_actions_do_what_hold_does(make_market: MakeMarket, delay: int) -> None:
    """A masked BUY or SELL leaves the account as HOLD would, an allowed one does not."""
    random = np.random.default_rng(delay)
    market = make_market((100 + np.cumsum(random.normal(0, 0.1, 80))).tolist())
    env = FuturesTradingEnv(market, EnvConfig(window=1, max_units=2, delay_bars=delay))
    env.reset()
    for _ in range(60):
        masks = env.action_masks()
        assert masks[0]
        for action in (1, 2):
            ends = []
            for choice in (0, action):
                branch = copy.deepcopy(env)
                branch.step(choice)
                for _ in range(delay):
                    branch.step(0)
                ends.append(branch.history().units.iloc[-1])
            assert (ends[0] == ends[1]) == (not masks[action])
        env.step(random.integers(3))


def test_targets_are_all_allowed_and_continuous_actions_have_none(make_market: MakeMarket) -> None:
    """Mode "target" masks nothing; mode "continuous" says that it cannot."""
    market = make_market([100.0] * 5)
    env = FuturesTradingVectorEnv(market, 3, EnvConfig(window=1, actions="target", max_units=2))
    env.reset(seed=0)
    assert env.action_masks().shape == (3, 5)
    assert env.action_masks().all()
    continuous = FuturesTradingEnv(market, EnvConfig(window=1, actions="continuous"))
    with pytest.raises(ConfigError, match="no masks"):
        continuous.action_masks()


def test_sb3_adapter_gives_one_mask_per_account(make_market: MakeMarket) -> None:
    """`env_method("action_masks")`, which MaskablePPO calls, returns each account's own."""
    env = FuturesTradingVectorEnv(make_market([100.0] * 9), 3, EnvConfig(window=1))
    adapter = env.to_sb3()
    adapter.reset()
    adapter.step(np.array([0, 1, 2]))
    expected = [[True, True, True], [True, False, True], [True, True, False]]
    assert np.stack(adapter.env_method("action_masks")).tolist() == expected
    assert adapter.env_method("action_masks", indices=[1])[0].tolist() == expected[1]
    assert adapter.has_attr("action_masks")
