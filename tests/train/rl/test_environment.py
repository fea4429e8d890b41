"""The vector environment that algorithms train in: shaped rewards, shared starts, the actions they need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.rl.environment import TrainingVecEnv, env_config, training_env
from quantum_trader.train.rl.scale import fit_scale

from . import tiny_policy
from .tiny_policy import CONFIG

TARGETS = (2, 2, 1, 0, 2, 2, 0, 1, 1, 2)


def _accounts(count: int = 2) -> FuturesTradingVectorEnv:
    env = EnvConfig(actions="target", episode_bars=6, random_start=True)
    return FuturesTradingVectorEnv([tiny_policy.market()], num_envs=count, config=env)


def _stepped(env: Any) -> list[Any]:
    env.seed(3)
    env.reset()
    return [env.step(np.array([target, 1])) for target in TARGETS]


def _config(**changes: Any) -> RLConfig:
    plain = {"risk_aversion": 0.0, "holding_penalty": 0.0, "turnover_penalty": 0.0, "reward_scale": 1.0}
    return replace(CONFIG, **(plain | changes))


def test_rewards_are_scaled() -> None:
    """The learner sees rewards times the factor as float32; episode returns in infos stay as they were."""
    plain = _stepped(_accounts().to_sb3())
    scaled = _stepped(TrainingVecEnv(_accounts(), _config(reward_scale=100.0)))
    for (_, rewards, dones, infos), (_, found, found_dones, found_infos) in zip(plain, scaled, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.float32(100.0) * rewards)
        np.testing.assert_array_equal(found_dones, dones)
        if dones[0]:
            assert found_infos[0]["episode"]["r"] == infos[0]["episode"]["r"]
    assert any(abs(rewards[0]) > 0 for _, rewards, _, _ in plain)


def test_risk_costs_half_the_aversion_times_the_square() -> None:
    """A reward r becomes r - a r^2 / 2 before it is scaled."""
    plain = _stepped(_accounts().to_sb3())
    shaped = _stepped(TrainingVecEnv(_accounts(), _config(risk_aversion=40.0, reward_scale=10.0)))
    for (_, rewards, _, _), (_, found, _, _) in zip(plain, shaped, strict=True):
        np.testing.assert_allclose(found, 10 * (rewards - 20.0 * rewards**2), rtol=1e-5, atol=1e-7)


def test_holding_and_changing_cost_what_they_are_said_to() -> None:
    """Each bar that ends with a position, and each in which the position changed, costs its penalty, the last
    bar of an episode included; an account that stays out pays nothing."""
    plain = _stepped(_accounts().to_sb3())
    shaped = _stepped(TrainingVecEnv(_accounts(), _config(holding_penalty=0.5, turnover_penalty=0.25)))
    before = 1
    for target, (_, rewards, dones, _), (_, found, _, _) in zip(TARGETS, plain, shaped, strict=True):
        cost = 0.5 * (target != 1) + 0.25 * (target != before)
        assert found[0] == pytest.approx(rewards[0] - cost, abs=1e-6)
        assert found[1] == rewards[1] == 0.0
        before = 1 if dones[0] else target


@pytest.mark.parametrize("shared", [1, 3])
def test_groups_begin_on_the_same_bars(shared: int) -> None:
    """After a seeded reset, and at each later episode, the accounts of a group stand on the same bar, and
    groups on others."""
    env = TrainingVecEnv(_accounts(6), CONFIG, shared_start=shared)
    assert env.seed(5) == [5 + index // shared for index in range(6)]
    env.reset()
    starts = [env.accounts.bar]
    for _ in range(6):
        env.step(np.ones(6, dtype=np.int64))
    starts.append(env.accounts.bar)
    assert (starts[0] != starts[1]).any()
    for bars in starts:
        groups = bars.reshape(-1, shared)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0].tolist())) > 1


def test_algorithms_get_the_actions_they_need() -> None:
    """SAC trains with continuous actions, MaskablePPO with orders, the others with those of the settings;
    whatever else the environment says stays."""
    env = replace(CONFIG.env, leverage=3.0)
    config = replace(CONFIG, env=env)
    assert env_config(config, "ppo") is env
    assert env_config(config, "sac") == replace(env, actions="continuous")
    assert env_config(config, "maskable_ppo") == replace(env, actions="order")
    assert training_env(tiny_policy.train(), config, "sac").action_space.shape == (1,)


def test_scale_is_that_of_usable_rows() -> None:
    """Mean and deviation of each column over all markets' usable bars; a constant column counts as 1."""
    markets = [replace(item, table=item.table.copy()) for item in tiny_policy.validation()]
    for item in markets:
        item.table[:, 1] = 7.0
        item.table[~item.market.usable] = 1e6
    rows = np.concatenate([item.table[item.market.usable] for item in markets])
    center, scale = fit_scale(markets)
    assert center.dtype == scale.dtype == np.float32
    np.testing.assert_allclose(center, rows.mean(axis=0), rtol=1e-5, atol=1e-6)
    expected = rows.astype(np.float64).std(axis=0)
    expected[1] = 1.0
    np.testing.assert_allclose(scale, expected, rtol=1e-4)
