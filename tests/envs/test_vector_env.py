"""`FuturesTradingVectorEnv`: the single environment many times, to the bit, with Gymnasium's autoreset."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.records import INFO_FIELDS
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
SHORT = EnvConfig(leverage=10.0, max_units=2, random_start=True, random_length=True, episode_bars=30)
N = 5
CHANCY = EnvConfig(
    leverage_range=(2.0, 40.0),
    cost_range=(0.5, 3.0),
    max_units=2,
    delay_bars=1,
    stop_loss_atr=2.0,
    reward="differential_sharpe",
    random_start=True,
    random_length=True,
    episode_bars=12,
)
"""Everything that an account can carry from bar to bar, and short episodes drawn at random."""


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
                assert left["final_info"] == {name: right[name] for name in INFO_FIELDS}
                assert {type(value) for value in left["final_info"].values()} == {float}
                assert left["TimeLimit.truncated"] == right["TimeLimit.truncated"]
                assert left["episode"]["l"] == right["episode"]["l"]
                assert left["episode"]["r"] == pytest.approx(right["episode"]["r"], abs=1.1e-6)
                assert_same(left["terminal_observation"], right["terminal_observation"])
            else:
                assert left == {}
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


@cache
def two_markets() -> tuple[Market, ...]:
    """Markets of different length and volatility."""
    configs = [SyntheticConfig(bars=350 + 50 * i, seed=i, volatility=0.004 * (1 + i)) for i in range(2)]
    return tuple(Market.build(synthetic_bars(config), preset("binance-btc")) for config in configs)


def make(mode: AutoresetMode = AutoresetMode.SAME_STEP, **changes: Any) -> FuturesTradingVectorEnv:
    arguments: dict[str, Any] = {"markets": two_markets(), "num_envs": N, "config": CHANCY} | changes
    return FuturesTradingVectorEnv(autoreset_mode=mode, **arguments)


def play(env: FuturesTradingVectorEnv, actions: list[NDArray[Any]]) -> list[Any]:
    """Copies of all that the environment returns, finished accounts being reset where they wait for it."""
    seen: list[Any] = []
    for batch in actions:
        waiting = env.snapshot()["finished"]
        if env.autoreset_mode == AutoresetMode.DISABLED and waiting.any():
            seen.append(copy.deepcopy(env.reset(options={"reset_mask": waiting})))
        seen.append(copy.deepcopy(env.step(batch)))
    return seen


def assert_equal(one: Any, other: Any) -> None:
    """Equal to the bit all the way down."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, np.ndarray) and one.dtype == object:
        one, other = one.tolist(), other.tolist()
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal(left, right)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


@pytest.mark.parametrize("mode", list(AutoresetMode))
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**31), st.sampled_from(["window", "index"]))
def test_restored_accounts_go_on_alike(mode: AutoresetMode, done: int, seed: int, kind: Any) -> None:
    """Observations, rewards, ends and infos are those without the interruption, here and in a new one."""
    env = make(mode, observation=kind)
    env.reset(seed=seed)
    play(env, batches(seed, done))
    snapshot = env.snapshot()
    kept = copy.deepcopy(snapshot)
    actions = batches(seed + 1, 40)
    expected = play(env, actions)
    assert sum(int((part[2] | part[3]).sum()) for part in expected if len(part) == 5) > N
    for other in (env, make(mode, observation=kind)):
        other.restore(snapshot)
        assert_equal(other.snapshot(), kept)
        assert_equal(play(other, actions), expected)
    assert_equal(snapshot, kept)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_restore_returns_what_the_accounts_saw_last(mode: AutoresetMode) -> None:
    """Also where accounts are finished and wait; the buffers alternate as after a step."""
    env = make(mode)
    last, waited = env.reset(seed=0)[0], 0
    for batch in batches(0, 30):
        snapshot = env.snapshot()
        waited += int(snapshot["finished"].sum())
        assert_equal(make(mode).restore(snapshot), last)
        before = copy.deepcopy(last)
        again = env.restore(snapshot)
        assert_equal((again, last), (before, before))
        assert not np.shares_memory(again["window"], last["window"])
        if mode == AutoresetMode.DISABLED and snapshot["finished"].any():
            env.reset(options={"reset_mask": snapshot["finished"]})
        last = env.step(batch)[0]
    assert (waited > 0) == (mode != AutoresetMode.SAME_STEP)


def test_later_episodes_without_a_seed_are_restored_too() -> None:
    """A reset of everybody draws what it would have drawn: the generators are in the snapshot."""
    env, other = make(), make()
    env.reset(seed=4)
    other.restore(env.snapshot())
    for _ in range(3):
        assert_equal(env.reset(), other.reset())


def test_snapshots_travel_in_torch_checkpoints(tmp_path: Path) -> None:
    """As tensors, read back with weights_only, a snapshot is as good as before."""
    import torch

    env = make()
    env.reset(seed=1)
    play(env, batches(1, 17))
    snapshot = env.snapshot()
    tensors = {name: torch.from_numpy(snapshot[name]) for name in ("accounts", "finished")}
    torch.save({"accounts": snapshot | tensors}, tmp_path / "checkpoint.pt")
    expected = play(env, batches(2, 25))
    other = make()
    other.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["accounts"])
    assert_equal(play(other, batches(2, 25)), expected)


def test_restored_accounts_go_on_alike_in_stable_baselines3() -> None:
    """`.env.restore` is enough: the adapter holds nothing else, but for the time on the clock."""

    def run(adapter: Any) -> list[Any]:
        seen = [copy.deepcopy(adapter.step(batch)) for batch in batches(3, 30)]
        episodes = [info.pop("episode") for _, _, _, infos in seen for info in infos if info]
        return [*seen, *((episode["r"], episode["l"]) for episode in episodes)]

    env, other = make().to_sb3(), make().to_sb3()
    env.seed(2)
    env.reset()
    env.step(batches(0, 1)[0])
    snapshot = env.env.snapshot()
    expected = run(env)
    assert len(expected) > 30 + N
    for adapter in (env, other):
        adapter.env.restore(snapshot)
        assert_equal(run(adapter), expected)


def test_equal_configs_written_differently_are_the_same() -> None:
    """5, 5.0 and NumPy's 5 are one leverage, and a contract may have a bracket without an end."""
    market = two_markets()[0]
    endless = replace(market.contract.tiers[0], cap=float("inf"))
    contract = replace(market.contract, tiers=(endless,))
    market = Market.build(market.bars, contract)
    leverages: list[Any] = [5, 5.0, np.int64(5), np.float32(5)]
    envs = [make(markets=market, config=EnvConfig(leverage=leverage)) for leverage in leverages]
    envs[0].reset(seed=0)
    for env in envs:
        env.restore(envs[0].snapshot())


def _mirrored() -> list[Market]:
    return [mirrored_market(market) for market in two_markets()]


def _dearer() -> list[Market]:
    return [replace(market, contract=replace(market.contract, taker_fee=0.0007)) for market in two_markets()]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: make(num_envs=N + 1), "another number of accounts: expected 6, found 5"),
        (lambda: make(markets=two_markets()[0]), "another number of bars: expected 350, found 750"),
        (lambda: make(markets=_mirrored()), "another set of markets or contracts"),
        (lambda: make(markets=_dearer()), "another set of markets or contracts"),
        (lambda: make(config=replace(CHANCY, delay_bars=0)), "another config"),
        (lambda: make(AutoresetMode.NEXT_STEP), "another autoreset mode: expected 'NextStep'"),
    ],
)
def test_snapshots_of_another_environment_are_refused(
    other: Callable[[], FuturesTradingVectorEnv], message: str
) -> None:
    """One clear error that names the difference, and the accounts stay as they were."""
    env, stranger = make(), other()
    env.reset(seed=0)
    stranger.reset(seed=9)
    before = stranger.snapshot()
    with pytest.raises(ConfigError, match=message):
        stranger.restore(env.snapshot())
    assert_equal(stranger.snapshot(), before)


def _with_rows(snapshot: dict[str, Any], row: float) -> dict[str, Any]:
    accounts = snapshot["accounts"].copy()
    accounts[2, 0] = row
    return snapshot | {"accounts": accounts}


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: {name: value for name, value in good.items() if name != "random"},
        lambda good: good | {"random": good["random"][:-1]},
        lambda good: good | {"random": [{"bit_generator": "MT19937"}] * N},
        lambda good: good | {"random": [None] * N},
        lambda good: good | {"accounts": good["accounts"][:, :-1]},
        lambda good: good | {"accounts": good["accounts"].astype(np.float32)},
        lambda good: good | {"accounts": None},
        lambda good: good | {"finished": ~good["finished"]},
        lambda good: good | {"finished": good["finished"].astype(np.float64)},
        lambda good: _with_rows(good, 1e9),
        lambda good: _with_rows(good, -1.0),
        lambda good: _with_rows(good, float("nan")),
        lambda good: _with_rows(good, 749.0),
    ],
)
def test_damaged_snapshots_are_refused(damage: Callable[[dict[str, Any]], Any]) -> None:
    """Whatever is missing or does not fit is told, before a compiled loop reads beyond the bars."""
    env = make()
    env.reset(seed=0)
    good = env.snapshot()
    with pytest.raises(ConfigError, match="The snapshot is damaged"):
        env.restore(damage(good))
    assert_equal(env.snapshot(), good)


@pytest.mark.parametrize("nothing", [None, {}, {"identity": 3}])
def test_what_is_no_snapshot_is_refused(nothing: Any) -> None:
    """The message says where snapshots come from."""
    with pytest.raises(ConfigError, match=r"what snapshot\(\) of a FuturesTradingVectorEnv"):
        make().restore(nothing)


def test_there_is_no_snapshot_before_the_first_reset() -> None:
    """No account stands anywhere yet."""
    with pytest.raises(ResetNeeded, match="before snapshot"):
        make().snapshot()
