"""Environments made by name, run in other processes, pickled, copied, and wrapped by Gymnasium's wrappers."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import ACTION_MODES, EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

ID = "quantum_trader.envs:FuturesTrading-v0"
BUSY = EnvConfig(
    leverage_range=(2.0, 20.0),
    cost_range=(0.0, 2.0),
    initial_balance=2_000.0,
    max_units=2,
    delay_bars=2,
    random_start=True,
    random_length=True,
    episode_bars=30,
    stop_loss_atr=1.0,
    take_profit_atr=2.0,
)
N = 6

MAKE = '''
"""Made by name alone, as a script that has imported nothing else of the package would."""
import warnings
import gymnasium as gym
import numpy as np

ID = "quantum_trader.envs:FuturesTrading-v0"
ACTIONS = np.random.default_rng(0).integers(0, 3, (40, 3))


def rewards(env):
    env.reset(seed=5)
    seen = [env.step(actions)[1] for actions in ACTIONS]
    env.close()
    return np.array(seen)


def alone(index):
    env = gym.make(ID)
    env.reset(seed=5 + index)
    return [env.step(actions[index])[1] for actions in ACTIONS]


if __name__ == "__main__":
    warnings.simplefilter("error", UserWarning)
    expected = np.transpose([alone(index) for index in range(3)])
    for mode in ("sync", "async", "vector_entry_point"):
        env = gym.make_vec(ID, num_envs=3, vectorization_mode=mode)
        found = rewards(env)
        assert found.shape == (40, 3) and found.dtype == np.float64, (mode, found.shape, found.dtype)
        assert (found == expected).all(), mode
        print(mode, type(env.unwrapped).__name__)
'''

COMMON = """
import numpy as np
from functools import partial
from quantum_trader.envs import EnvConfig, FuturesTradingEnv, Market, SyntheticConfig, preset, synthetic_bars

N = 2
CONFIG = EnvConfig(
    leverage_range=(2.0, 20.0), initial_balance=2_000.0, max_units=2, delay_bars=1,
    random_start=True, random_length=True, episode_bars=12,
)
ACTIONS = np.random.default_rng(0).integers(0, 3, (60, N))


def market():
    return Market.build(synthetic_bars(SyntheticConfig(bars=700, seed=3)), preset("binance-alt"))


def make(shared):
    return FuturesTradingEnv(shared, CONFIG)


def same(one, other):
    assert list(one) == list(other), (list(one), list(other))
    for name in one:
        assert np.array_equal(one[name], other[name]), name
"""

SPAWNED = f'''
"""Gymnasium's AsyncVectorEnv in fresh interpreters against SyncVectorEnv in this one, step for step."""
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
{COMMON}

def main():
    functions = [partial(make, market())] * N
    one = AsyncVectorEnv(functions, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)
    other = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP)
    assert one.observation_space == other.observation_space
    same(one.reset(seed=7)[0], other.reset(seed=7)[0])
    ends = 0
    for actions in ACTIONS:
        found, expected = one.step(actions), other.step(actions)
        same(found[0], expected[0])
        for left, right in zip(found[1:4], expected[1:4]):
            assert np.array_equal(left, right)
        assert found[4].keys() == expected[4].keys()
        if "final_obs" in expected[4]:
            for i in np.flatnonzero(expected[4]["_final_obs"]):
                same(found[4]["final_obs"][i], expected[4]["final_obs"][i])
                ends += 1
        else:
            for name in ("equity", "fees", "funding", "bar", "trades"):
                assert np.array_equal(found[4][name], expected[4][name]), name
    one.close()
    print("ends", ends)
    assert ends > 5


if __name__ == "__main__":
    main()
'''

SB3 = f'''
"""stable-baselines3's SubprocVecEnv in fresh interpreters against the native environment in this one."""
from stable_baselines3.common.vec_env import SubprocVecEnv
from quantum_trader.envs import FuturesTradingVectorEnv
{COMMON}

def main():
    shared = market()
    one = SubprocVecEnv([partial(make, shared)] * N, start_method="spawn")
    other = FuturesTradingVectorEnv(shared, N, CONFIG).to_sb3()
    for env in (one, other):
        env.seed(9)
    same(one.reset(), other.reset())
    ends = 0
    for actions in ACTIONS:
        found, expected = one.step(actions), other.step(actions)
        same(found[0], expected[0])
        assert np.array_equal(found[1].astype(np.float32), expected[1])
        assert np.array_equal(found[2], expected[2])
        for i in np.flatnonzero(expected[2]):
            same(found[3][i]["terminal_observation"], expected[3][i]["terminal_observation"])
            ends += 1
    one.close()
    print("ends", ends)
    assert ends > 5


if __name__ == "__main__":
    main()
'''


def run_script(folder: Path, text: str) -> str:
    """Run `text` as a file of its own, which spawned processes import again; what it printed."""
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(path)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1_800,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_every_vectorization_mode_makes_the_same_environment(tmp_path: Path) -> None:
    """Named in a fresh process, "sync", "async" and our own loop give the rewards of `gym.make`."""
    printed = run_script(tmp_path, MAKE).split()
    assert printed[0::2] == ["sync", "async", "vector_entry_point"]
    assert printed[1::2] == ["SyncVectorEnv", "AsyncVectorEnv", "FuturesTradingVectorEnv"]


def test_spawned_workers_equal_this_process(tmp_path: Path) -> None:
    """AsyncVectorEnv with context "spawn" equals SyncVectorEnv to the bit, ends included."""
    assert run_script(tmp_path, SPAWNED).startswith("ends")


def test_subproc_vec_env_spawns(tmp_path: Path) -> None:
    """SubprocVecEnv with start_method "spawn" equals the native environment, ends included."""
    assert run_script(tmp_path, SB3).startswith("ends")


@cache
def markets() -> Sequence[Market]:
    """Two perpetuals of different lengths with funding."""
    return tuple(
        Market.build(
            synthetic_bars(SyntheticConfig(bars=bars, seed=bars, symbol=name)), preset("binance-alt")
        )
        for name, bars in (("A", 600), ("B", 500))
    )


def tables(given: Sequence[Market]) -> list[NDArray[np.float32]]:
    return [market.table[:, :3].copy() for market in given]


def copied(env: Any) -> Any:
    return copy.deepcopy(env)


def pickled(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


def sent_by_cloudpickle(env: Any) -> Any:
    """The way vector environments send functions, and what they hold, to their workers."""
    import cloudpickle

    return pickle.loads(cloudpickle.dumps(env))


ways = pytest.mark.parametrize("way", [copied, pickled, sent_by_cloudpickle])


def assert_same(one: Any, other: Any) -> None:
    """Nested results of `reset` and `step` are equal, numbers to the bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, (tuple, list)) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert np.array_equal(one, other, equal_nan=isinstance(one, np.ndarray) and one.dtype.kind == "f")


def action_for(actions: str, random: np.random.Generator) -> Any:
    return random.uniform(-1, 1, (1,)).astype(np.float32) if actions == "continuous" else random.integers(3)


def config_for(actions: Any, **changes: Any) -> EnvConfig:
    return replace(BUSY, actions=actions, max_units=1 if actions == "continuous" else 2, **changes)


@ways
@pytest.mark.parametrize("actions", ACTION_MODES)
@pytest.mark.parametrize("observe_account", [True, False])
def test_a_running_environment_goes_on_alike(
    way: Callable[[Any], Any], actions: Any, observe_account: bool
) -> None:
    """A copy taken inside an episode gives the results, the records and the next draws of the original."""
    env = FuturesTradingEnv(markets(), config_for(actions, observe_account=observe_account))
    env.action_space.seed(1)
    env.reset(seed=3)
    random = np.random.default_rng(0)
    for _ in range(5):
        env.step(action_for(actions, random))
    other = way(env)
    assert env.action_space.sample() == other.action_space.sample()
    for _ in range(80):
        action = action_for(actions, random)
        one, two = env.step(action), other.step(action)
        assert_same(one, two)
        if one[2] or one[3]:
            for record in ("history", "trades", "fills"):
                assert getattr(env, record)().equals(getattr(other, record)())
            assert_same(env.reset(), other.reset())


@ways
def test_environments_before_and_after_an_episode_survive(way: Callable[[Any], Any]) -> None:
    """One that was never reset can be reset; a finished one still lists its trades and wants a reset."""
    fresh = FuturesTradingEnv(markets(), BUSY)
    assert_same(way(fresh).reset(seed=1), fresh.reset(seed=1))
    done = False
    while not done:
        *_, terminated, truncated, _ = fresh.step(1)
        done = terminated or truncated
    other = way(fresh)
    assert other.trades().equals(fresh.trades())
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.step(0)
    assert_same(other.reset(), fresh.reset())


def test_a_copy_shares_nothing_that_changes() -> None:
    """Steps of a copy leave the original where it stands, whichever goes first."""
    env = FuturesTradingEnv(markets(), BUSY)
    env.reset(seed=3)
    env.step(1)
    before, equity = env.history(), env.history().equity.iloc[-1]
    other = copy.deepcopy(env)
    for _ in range(5):
        other.step(2)
    assert env.history().equals(before)
    assert env.step(0)[4]["bar"] == other.history().bar.iloc[2]
    assert before.equity.iloc[-1] == equity


@ways
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("kind", ["window", "table", "index", "bare window", "bare table"])
def test_a_running_vector_environment_goes_on_alike(
    way: Callable[[Any], Any], kind: str, mode: AutoresetMode
) -> None:
    """Whatever it observes, a copy goes on as the original: results, infos, draws, buffers, masks."""
    observation = kind.split()[-1]
    given = tables(markets()) if observation == "table" else None
    config = replace(BUSY, observe_account="bare" not in kind)
    env = FuturesTradingVectorEnv(markets(), N, config, observation, given, mode)  # type: ignore[arg-type]
    env.reset(seed=3)
    random = np.random.default_rng(0)
    for _ in range(17):  # some accounts have just finished, which NEXT_STEP must remember
        env.step(random.integers(0, 3, N))
    other = way(env)
    ended = 0
    for _ in range(80):
        batch = random.integers(0, 3, N)
        one, two = env.step(batch), other.step(batch)
        assert_same(one, two)
        ended += int((one[2] | one[3]).sum())
        for name in ("equity", "position", "bar", "market"):
            assert np.array_equal(getattr(env, name), getattr(other, name))
        assert np.array_equal(env.action_masks(), other.action_masks())
    assert ended > 10


@ways
def test_buffers_of_a_copy_are_its_own(way: Callable[[Any], Any]) -> None:
    """What the original returned stays as it was while a copy goes on."""
    env = FuturesTradingVectorEnv(markets(), N, BUSY)
    observation, _ = env.reset(seed=0)
    kept = copy.deepcopy(observation)
    other = way(env)
    for _ in range(4):
        other.step(np.ones(N, dtype=int))
    assert_same(observation, kept)


@ways
def test_accounts_stay_linked_to_their_properties(way: Callable[[Any], Any]) -> None:
    """`accounts`, `equity` and `position` of a copy show what its steps do, not what they showed before."""
    env = FuturesTradingVectorEnv(
        markets(), N, replace(BUSY, delay_bars=0, episode_bars=0, random_length=False)
    )
    env.reset(seed=0)
    other = way(env)
    other.step(np.ones(N, dtype=int))
    assert (other.position > 0).all()
    assert np.array_equal(other.accounts["quantity"], other.position)
    assert (env.position == 0).all()


def test_a_pickle_is_market_data_and_little_more() -> None:
    """An account costs some bytes; the data, whatever their number, is there a fixed number of times."""
    market = [markets()[0]]
    data = len(pickle.dumps(market[0]))

    def size(num_envs: int, of: Sequence[Market] = market) -> int:
        env = FuturesTradingVectorEnv(of, num_envs, BUSY, observation="index")
        env.reset(seed=0)
        return len(pickle.dumps(env))

    one, many = size(1), size(1_001)
    assert one < 3 * data
    assert (many - one) / 1_000 < 1_500  # 40 numbers, a generator, and twice what is observed
    twice = size(1, [*market, markets()[1]])
    assert twice < 2 * one


def test_gymnasium_wrappers_apply() -> None:
    """Statistics, time limit, flattening and normalising stack up; flat observations fit their space."""
    env: Any = FuturesTradingEnv(markets(), replace(BUSY, episode_bars=0, random_length=False))
    env = wrappers.TimeLimit(env, max_episode_steps=25)
    env = wrappers.RecordEpisodeStatistics(env)
    env = wrappers.FlattenObservation(env)
    env = wrappers.NormalizeReward(env)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (60 * 14 + 11 + 22,)
    assert observation.dtype == np.float32
    total, steps, done = 0.0, 0, False
    while not done:
        equity = env.unwrapped.history().equity.iloc[-1]
        observation, reward, terminated, truncated, info = env.step(steps % 3)
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        total += np.log(info["equity"] / equity)
        done = terminated or truncated
        steps += 1
    assert steps == 25
    assert truncated
    assert info["episode"]["l"] == 25
    assert info["episode"]["r"] == pytest.approx(total, abs=1e-6)


def test_gym_make_adds_a_time_limit() -> None:
    """`gym.make(..., max_episode_steps=...)` truncates, and a reset goes on as ever."""
    env = gymnasium.make(ID, max_episode_steps=7)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(0)[3] for _ in range(7)] == [False] * 6 + [True]


def test_wrappers_apply_to_the_vector_environment() -> None:
    """Vector wrappers flatten, normalise and count without touching what the environment gives."""
    vector = wrappers.vector
    # Gymnasium's wrappers of observations refuse SAME_STEP.
    env, plain = (
        FuturesTradingVectorEnv(markets(), N, BUSY, autoreset_mode=AutoresetMode.NEXT_STEP) for _ in range(2)
    )
    wrapped: Any = vector.RecordEpisodeStatistics(env)
    wrapped = vector.FlattenObservation(wrapped)
    wrapped = vector.NormalizeReward(wrapped)
    wrapped.reset(seed=1)
    plain.reset(seed=1)
    random, ends = np.random.default_rng(0), 0
    for _ in range(80):
        batch = random.integers(0, 3, N)
        observation, rewards, *_, infos = wrapped.step(batch)
        raw, raw_rewards, *_ = plain.step(batch)
        assert observation.shape == (N, 60 * 14 + 11 + 22)
        flat = np.concatenate([raw[name].reshape(N, -1) for name in ("account", "context", "window")], axis=1)
        assert np.array_equal(observation, flat)
        assert np.isfinite(rewards).all()
        assert (np.sign(rewards) == np.sign(raw_rewards)).all()
        ends += int(infos.get("_episode", np.zeros(N)).sum())
    assert ends > 10
