"""`FuturesTradingVectorEnv`: the single environment many times, to the bit, with Gymnasium's autoreset."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
SHORT = EnvConfig(leverage=10.0, max_units=2, random_start=True, random_length=True, episode_bars=30)
N = 5


def batches(seed: int, steps: int, mode: str = "order") -> list[NDArray[Any]]:
    random = np.random.default_rng(seed)
    if mode == "continuous":
        return [random.uniform(-1, 1, (N, 1)).astype(np.float32) for _ in range(steps)]
    return [random.integers(0, 3, N) for _ in range(steps)]


def assert_same(one: Any, other: Any) -> None:
    if not isinstance(one, dict):
        one, other = {"only": one}, {"only": other}
    assert list(one) == list(other)
    for name, values in one.items():
        assert np.array_equal(values, other[name]), name


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("actions", ["order", "continuous"])
def test_equals_gymnasiums_sync_vector_env(mode: AutoresetMode, actions: Any) -> None:
    """Observations, rewards, ends, final observations are those of single environments side by side."""
    config = EnvConfig(
        actions=actions,
        leverage=10.0,
        random_start=True,
        random_length=True,
        episode_bars=30,
    )
    ours = FuturesTradingVectorEnv(num_envs=N, config=config, autoreset_mode=mode)
    theirs = SyncVectorEnv([lambda: FuturesTradingEnv(config=config)] * N, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert_same(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    ended = 0
    for batch in batches(0, 120, actions):
        one, other = ours.step(batch), theirs.step(batch)
        for left, right in zip(one[:4], other[:4], strict=True):
            assert_same(left, right)
        if mode == AutoresetMode.SAME_STEP and "final_obs" in other[4]:
            assert (one[4]["_final_obs"] == other[4]["_final_obs"]).all()
            for i in np.flatnonzero(other[4]["_final_obs"]):
                assert_same(one[4]["final_obs"][i], other[4]["final_obs"][i])
                for key in ("equity", "fees", "trades", "bar"):
                    assert one[4]["final_info"][key][i] == other[4]["final_info"][key][i]
                ended += 1
    assert mode == AutoresetMode.NEXT_STEP or ended > 10


def test_bare_windows() -> None:
    """Without account and context the observation is one array."""
    config = EnvConfig(observe_account=False)
    ours = FuturesTradingVectorEnv(num_envs=N, config=config)
    single = FuturesTradingEnv(config=config)
    assert np.array_equal(ours.reset(seed=0)[0][2], single.reset(seed=2)[0])


def test_tables_are_looked_up_at_the_bar(make_market: MakeMarket) -> None:
    """Row t of market m's table holds 1000 m + t, and so does the embedding of an account there."""
    markets = [make_market([100.0] * 40, symbol=name) for name in "AB"]
    tables = [np.repeat(1000.0 * m + np.arange(40)[:, None], 3, axis=1).astype(np.float32) for m in (0, 1)]
    config = EnvConfig(window=5, random_start=True, episode_bars=6)
    env = FuturesTradingVectorEnv(markets, N, config, observation="table", tables=tables)
    index = FuturesTradingVectorEnv(markets, N, config, observation="index")
    seen, place = env.reset(seed=0)[0], index.reset(seed=0)[0]
    for batch in [None, *batches(0, 20)]:
        if batch is not None:
            seen, place = env.step(batch)[0], index.step(batch)[0]
        expected = 1000.0 * place["market"] + place["bar"]
        assert np.array_equal(seen["embedding"], np.repeat(expected[:, None], 3, axis=1))
        assert np.array_equal(seen["account"], place["account"])
    assert env.single_observation_space["embedding"].shape == (3,)
    assert (index.bar == place["bar"]).all()
    assert set(place["market"].tolist()) == {0, 1}


def test_tables_must_fit(make_market: MakeMarket) -> None:
    """A table of another length, a missing or a needless one is refused."""
    market = make_market([100.0] * 40)
    config = EnvConfig(window=5)
    short = [np.zeros((39, 3), dtype=np.float32)]
    with pytest.raises(ConfigError, match="one table"):
        FuturesTradingVectorEnv(market, 2, config, observation="table", tables=short)
    with pytest.raises(ConfigError, match="tables belong"):
        FuturesTradingVectorEnv(market, 2, config, observation="table")
    with pytest.raises(ConfigError, match="tables belong"):
        FuturesTradingVectorEnv(market, 2, config, tables=short)


def test_observations_live_for_one_more_step() -> None:
    """Two buffers alternate: the previous observation is intact after the next step."""
    env = FuturesTradingVectorEnv(num_envs=N, config=SHORT)
    before = env.reset(seed=0)[0]
    kept = copy.deepcopy(before)
    after = env.step(np.ones(N, dtype=int))[0]
    assert_same(before, kept)
    assert not np.shares_memory(before["window"], after["window"])


def test_same_seed_same_run() -> None:
    """The whole run follows from the seed and the actions."""

    def run() -> list[float]:
        env = FuturesTradingVectorEnv(num_envs=N, config=SHORT)
        env.reset(seed=11)
        return [float(env.step(batch)[1].sum()) for batch in batches(2, 80)]

    assert run() == run()


def test_disabled_autoreset_waits_for_a_mask() -> None:
    """Finished accounts must be reset by mask; the others go on undisturbed."""
    env = FuturesTradingVectorEnv(num_envs=N, config=SHORT, autoreset_mode=AutoresetMode.DISABLED)
    env.reset(seed=0)
    done = np.zeros(N, dtype=np.bool_)
    while not done.any():
        _, _, terminated, truncated, _ = env.step(np.zeros(N, dtype=int))
        done = terminated | truncated
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(N, dtype=int))
    bars = env.bar
    env.reset(options={"reset_mask": done})
    assert (env.bar[~done] == bars[~done]).all()
    env.step(np.zeros(N, dtype=int))


def test_wrong_actions_are_refused() -> None:
    """Another number of actions, or one out of range, raises InvalidAction."""
    env = FuturesTradingVectorEnv(num_envs=N, config=SHORT)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(N, dtype=int))
    env.reset(seed=0)
    for wrong in (np.zeros(N + 1, dtype=int), np.full(N, 3)):
        with pytest.raises(InvalidAction):
            env.step(wrong)


def test_deep_copies_go_on_alike() -> None:
    """A copied vector environment gives the rewards of the original."""
    env = FuturesTradingVectorEnv(num_envs=N, config=SHORT)
    env.reset(seed=0)
    other = copy.deepcopy(env)
    for batch in batches(0, 40):
        assert (env.step(batch)[1] == other.step(batch)[1]).all()


def test_gymnasium_wrappers_apply() -> None:
    """Gymnasium's own episode statistics agree with the environment's."""
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(FuturesTradingVectorEnv(num_envs=N, config=SHORT))
    env.reset(seed=0)
    seen = 0
    for batch in batches(0, 60):
        infos = env.step(batch)[4]
        for i in np.flatnonzero(infos.get("_episode", [])):
            final = infos["final_info"]
            assert infos["episode"]["r"][i] == pytest.approx(final["episode_return"][i], abs=1e-9)
            assert infos["episode"]["l"][i] == final["episode_bars"][i]
            seen += 1
    assert seen


def test_native_sb3_environment_equals_dummy_vec_env() -> None:
    """Observations, rewards, dones and infos are those of DummyVecEnv over Monitor."""
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    ours = FuturesTradingVectorEnv(num_envs=N, config=SHORT).to_sb3()
    theirs = DummyVecEnv([lambda: Monitor(FuturesTradingEnv(config=SHORT))] * N)
    ours.seed(5)
    theirs.seed(5)
    assert_same(ours.reset(), theirs.reset())
    ends = 0
    for batch in batches(1, 120):
        one, other = ours.step(batch), theirs.step(batch)
        assert_same(one[0], other[0])
        assert one[1].dtype == np.float32
        assert np.array_equal(one[1], other[1])
        assert np.array_equal(one[2], other[2])
        for left, right in zip(one[3], other[3], strict=True):
            if "episode" in right:
                ends += 1
                assert left["TimeLimit.truncated"] == right["TimeLimit.truncated"]
                assert left["episode"]["l"] == right["episode"]["l"]
                assert left["episode"]["r"] == pytest.approx(right["episode"]["r"], abs=1.1e-6)
                assert_same(left["terminal_observation"], right["terminal_observation"])
            else:
                assert "episode" not in left
    assert ends > 10


def test_ppo_learns_on_the_native_environment(make_market: MakeMarket) -> None:
    """stable-baselines3 trains on it without a warning, from tables and from windows."""
    from stable_baselines3 import PPO

    market = sample_market()
    table = [market.table]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for kind, tables in (("table", table), ("window", None)):
            env = FuturesTradingVectorEnv(market, 8, SHORT, observation=kind, tables=tables)  # type: ignore[arg-type]
            model = PPO(
                "MultiInputPolicy", env.to_sb3(), n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu"
            )
            model.learn(512)
            assert len(model.ep_info_buffer or ()) > 0
