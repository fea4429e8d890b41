"""Misuse that used to pass or to fail somewhere deep: each is refused where it enters."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded

from quantum_trader.envs import batch, observe
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import sample_market
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

N = 2


@pytest.mark.parametrize("way", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_runs_the_code_that_is_compiled_already(way) -> None:
    """Arrays of a copy are read-only like the original's, so that nothing is compiled a second time."""
    env = FuturesTradingEnv()
    vector = FuturesTradingVectorEnv(None, N, observation="table", tables=[sample_market().table])
    env.reset(seed=0)
    vector.reset(seed=0)
    env.step(1)
    vector.step([1, 1])
    compiled = (batch.step_single, batch.step_accounts, observe.gather_observations, batch.open_accounts)
    before = [len(function.signatures) for function in compiled]
    env, vector = way(env), way(vector)
    env.step(1)
    vector.step([1, 1])
    assert not env.joined.bars.flags.writeable
    assert [len(function.signatures) for function in compiled] == before


def test_two_windows_can_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second environment with "human" does not fall over the window of the first."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib").use("Agg")
    first, second = FuturesTradingEnv(render_mode="human"), FuturesTradingEnv(render_mode="human")
    try:
        first.reset(seed=0)
        second.reset(seed=0)
        first.close()
        second.step(1)
    finally:
        first.close(), second.close()


@pytest.mark.parametrize("mode", ["order", "target"])
def test_batches_refuse_fractions_of_a_discrete_action(mode) -> None:
    """Fractions of discrete actions are refused, as the single environment does."""
    env = FuturesTradingVectorEnv(None, N, EnvConfig(actions=mode))
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match="whole"):
        env.step([1.5, 1.0])


def test_the_first_reset_is_of_every_account() -> None:
    """A mask before the first reset would leave the others without an episode."""
    env = FuturesTradingVectorEnv(None, N)
    with pytest.raises(ResetNeeded):
        env.reset(seed=0, options={"reset_mask": np.array([True, False])})


def test_batches_refuse_options_they_do_not_follow() -> None:
    """{"bar": t} names the start of the single environment only, and is no silent nothing here."""
    env = FuturesTradingVectorEnv(None, N, EnvConfig(random_start=True))
    with pytest.raises(ValueError, match="bar"):
        env.reset(seed=0, options={"bar": 300})


@pytest.mark.parametrize("action", [float("nan"), float("inf"), None, "buy", [1], np.array([1])])
def test_anything_that_is_no_action_is_an_invalid_action(action) -> None:
    """What is no number at all is an InvalidAction."""
    env = FuturesTradingEnv()
    env.reset(seed=0)
    with pytest.raises(InvalidAction):
        env.step(action)


@pytest.mark.parametrize("action", [[0.1, 0.2], [], "buy", None])
def test_a_share_is_one_number(action) -> None:
    """A continuous action is exactly one number."""
    env = FuturesTradingEnv(config=EnvConfig(actions="continuous"))
    env.reset(seed=0)
    with pytest.raises(InvalidAction):
        env.step(action)


@pytest.mark.parametrize("call", ["history", "trades", "fills", "render"])
def test_records_before_the_first_reset(call) -> None:
    """Before the first reset there is nothing to list or draw."""
    env = FuturesTradingEnv(render_mode="ansi")
    with pytest.raises(ResetNeeded):
        getattr(env, call)()


@pytest.mark.parametrize(
    "fields",
    [
        {"window": 30.5}, {"window": "60"}, {"max_units": 1.5}, {"episode_bars": 10.5}, {"start": 2.5},
        {"stop": 2.5}, {"delay_bars": 1.5}, {"max_holding_bars": 2.5}, {"leverage": "5"}, {"leverage": None},
        {"leverage_range": (1.0,)}, {"leverage_range": 5.0}, {"cost_range": "ab"},
        {"start": 10, "stop": 5}, {"stop": -1},
    ],
    ids=str,
)  # fmt: skip
def test_fields_of_the_wrong_type(fields) -> None:
    """Fractions of bars and units and values of another type are refused with the field named."""
    with pytest.raises(ConfigError):
        EnvConfig(**fields)


def test_ranges_from_json_lists() -> None:
    """A range is a pair: lists, of which a frozen config would not be made, are refused at once."""
    with pytest.raises(ConfigError):
        EnvConfig(leverage_range=[1.0, 2.0])


@pytest.mark.parametrize(
    "market", ["binance-btc", 5, sample_market().bars, [sample_market().bars], EnvConfig()]
)
def test_what_is_no_market(market) -> None:
    """A name, bars or a config in place of a market is told how to become one."""
    for make in (FuturesTradingEnv, FuturesTradingVectorEnv):
        with pytest.raises(ConfigError, match="Market"):
            make(market)


def test_what_is_no_config() -> None:
    """A dictionary in place of a config is refused."""
    with pytest.raises(ConfigError, match="EnvConfig"):
        FuturesTradingEnv(config={"leverage": 5.0})


TABLE = np.zeros((6225, 3), np.float32)


@pytest.mark.parametrize("table", [TABLE[:, 0], TABLE[:, :, None], TABLE[:, :0], None])
def test_tables_of_another_shape(table) -> None:
    """A table has a row for every bar and at least one column."""
    with pytest.raises(ConfigError):
        FuturesTradingVectorEnv(None, N, observation="table", tables=[table])


def test_seeds_of_batches() -> None:
    """A NumPy integer is a seed like any other."""
    one, other = (FuturesTradingVectorEnv(None, N, EnvConfig(random_start=True)) for _ in range(2))
    one.reset(seed=np.int64(3))
    other.reset(seed=3)
    assert one.bar.tolist() == other.bar.tolist()
    with pytest.raises((ConfigError, ValueError, gymnasium.error.Error)):
        one.reset(seed=1.5)


def test_autoreset_names() -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match="SameStep"):
        FuturesTradingVectorEnv(None, N, autoreset_mode="same")


@pytest.mark.parametrize("count", [2.0, "2", None])
def test_numbers_of_accounts(count) -> None:
    """The number of accounts is a whole number."""
    with pytest.raises(ConfigError):
        FuturesTradingVectorEnv(None, count)


@pytest.mark.parametrize("options", [{"bar": "x"}, {"market": "A"}, {"bar": None}, {"bar": 2.7}])
def test_options_of_the_wrong_type(options) -> None:
    """A start is a whole number."""
    env = FuturesTradingEnv(config=EnvConfig(window=1))
    with pytest.raises(ConfigError):
        env.reset(options=options)
