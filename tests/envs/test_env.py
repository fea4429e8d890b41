"""`FuturesTradingEnv`: Gymnasium's contract, observations, starts, ends, records, bad input."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import REWARDS, EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import time_to_funding
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.observe import ACCOUNT_NAMES, flat_account

MakeMarket = Callable[..., Market]
HOLD, BUY, SELL = 0, 1, 2
ONE_BAR = EnvConfig(window=1)
CONTRACT = FuturesContract(
    name="test",
    taker_fee=0.0,
    slippage=0.0,
    tiers=(MarginTier(floor=0.0, cap=1e6, mmr=0.01, max_leverage=50.0),),
)


@pytest.mark.parametrize("actions", ["order", "target", "continuous"])
@pytest.mark.parametrize("observe_account", [True, False])
def test_check_env_passes(actions: Any, observe_account: bool) -> None:
    """Gymnasium's and stable-baselines3's checkers find nothing but the window's two axes remarkable."""
    from stable_baselines3.common.env_checker import check_env as check_sb3

    config = EnvConfig(actions=actions, observe_account=observe_account, leverage=3.0, random_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        # The checker would like names like gym.make's, and a render mode for every one declared.
        warnings.filterwarnings("ignore", message=".*env.spec.*")
        check_env(FuturesTradingEnv(config=config), skip_render_check=True)
        check_sb3(FuturesTradingEnv(config=config))


def test_registered_in_a_fresh_process() -> None:
    """`gym.make` and `gym.make_vec` find the environment by its module-qualified id."""
    script = """
import gymnasium as gym, sys
env = gym.make("quantum_trader.envs:FuturesTrading-v0")
env.reset(seed=0)
env.step(1)
name = "quantum_trader.envs:FuturesTrading-v0"
vector = gym.make_vec(name, num_envs=3, vectorization_mode="vector_entry_point")
assert type(vector).__name__ == "FuturesTradingVectorEnv", vector
assert vector.reset(seed=0)[0]["window"].shape == (3, 60, 14)
"""
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", script], check=True)


def test_importing_the_package_is_light() -> None:
    """`import quantum_trader.envs` registers without loading the compiler, pandas or torch."""
    script = (
        "import sys, quantum_trader.envs; "
        "assert not {'numba', 'torch', 'stable_baselines3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_windows_end_at_the_current_bar_and_are_copies(make_market: MakeMarket) -> None:
    """Row i of the window is bar t - 59 + i; writing into it changes nothing."""
    env = FuturesTradingEnv(make_market([100.0] * 70, contract=CONTRACT))
    observation, info = env.reset()
    assert info["bar"] == 59
    assert observation["window"][:, 0].tolist() == list(range(60))
    observation["window"][:] = -1.0
    observation, _, _, _, info = env.step(HOLD)
    assert info["bar"] == 60
    assert observation["window"][:, 0].tolist() == list(range(1, 61))
    assert observation["context"][0] == 60.0


def test_flat_account_is_what_a_flat_account_shows(make_market: MakeMarket) -> None:
    """At reset the account numbers are `flat_account()`."""
    env = FuturesTradingEnv(make_market([100.0] * 5, contract=CONTRACT), ONE_BAR)
    assert env.reset()[0]["account"].tolist() == flat_account().tolist()


def test_account_numbers_by_hand(make_market: MakeMarket) -> None:
    """10x long at 100, close 102, then 101, with stop at 95 and target at 110 (ATR 1)."""
    config = replace(ONE_BAR, leverage=10.0, stop_loss_atr=5.0, take_profit_atr=10.0)
    market = make_market([100, 102, 101, 101], open=[100, 100, 102, 101], contract=CONTRACT)
    env = FuturesTradingEnv(market, config)
    env.reset()
    env.step(BUY)
    seen = dict(zip(ACCOUNT_NAMES, env.step(HOLD)[0]["account"].tolist(), strict=True))
    # 1,000 contracts; margin 10,000; pnl 1,000; peak 12,000; liquidation at 90 / 0.99
    expected = {
        "position": 1.0,
        "unrealised_pnl": 1_000 / 11_000,
        "exposure": 101_000 / (10 * 11_000),
        "margin_ratio": 1_010 / 11_000,
        "liquidation_distance": (101 - 90 / 0.99) / 101,
        "bars_in_position": 2 / 26,
        "time_to_funding": 1.0,
        "drawdown": 1 - 11_000 / 12_000,
        "stop_distance": 6 / 10,
        "target_distance": 9 / 10,
        "pending": 0.0,
    }
    assert seen == pytest.approx(expected, rel=1e-6)


def test_time_to_funding_knows_only_the_past(make_market: MakeMarket) -> None:
    """Unknown before the first settlement, then the clock of the last interval; 0 just before the next."""
    rates = {2: 0.1, 6: 0.1, 10: 0.1}
    bars = make_market([100.0] * 13, funding=rates).bars
    seen = time_to_funding(bars)
    assert seen[:2].tolist() == [1.0, 1.0]
    assert seen[2] == pytest.approx(7 / 8)  # one settlement: eight hours are assumed
    assert seen[6:13].tolist() == pytest.approx([3 / 4, 2 / 4, 1 / 4, 0, 3 / 4, 2 / 4, 1 / 4])
    for stop in range(3, 13):
        assert time_to_funding(bars[:stop]).tolist() == seen[:stop].tolist()


def test_truncates_at_the_end_of_the_data(make_market: MakeMarket) -> None:
    """Five bars allow four steps."""
    env = FuturesTradingEnv(make_market([100.0] * 5, contract=CONTRACT), ONE_BAR)
    env.reset()
    ends = [env.step(HOLD)[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]


def test_truncates_before_a_long_gap(make_market: MakeMarket) -> None:
    """A gap before bar 3 ends the episode at bar 2."""
    env = FuturesTradingEnv(make_market([100.0] * 6, breaks=[3], contract=CONTRACT), ONE_BAR)
    env.reset()
    assert env.step(HOLD)[3] is False
    assert env.step(HOLD)[3] is True


def test_terminates_at_the_equity_floor(make_market: MakeMarket) -> None:
    """Losing half at a floor of 60 % terminates, and the position left open is listed as ended."""
    env = FuturesTradingEnv(
        make_market([100, 100, 50, 50], contract=CONTRACT), replace(ONE_BAR, equity_floor=0.6)
    )
    env.reset()
    env.step(BUY)
    _, reward, terminated, truncated, info = env.step(HOLD)
    assert (terminated, truncated) == (True, False)
    assert reward == pytest.approx(np.log(0.5))
    assert info["equity"] == pytest.approx(5_000)
    assert env.trades().exit_reason.tolist() == ["end"]
    assert env.trades().net_pnl.tolist() == pytest.approx([-5_000])


def test_stepping_without_reset_is_refused(make_market: MakeMarket) -> None:
    """Before the first reset and after the last step, `step` raises Gymnasium's ResetNeeded."""
    env = FuturesTradingEnv(make_market([100.0] * 3, contract=CONTRACT), ONE_BAR)
    with pytest.raises(ResetNeeded):
        env.step(HOLD)
    env.reset()
    env.step(HOLD)
    env.step(HOLD)
    with pytest.raises(ResetNeeded):
        env.step(HOLD)


@pytest.mark.parametrize(
    ("actions", "wrong"), [("order", 3), ("order", -1), ("target", 3), ("continuous", [1.5])]
)
def test_actions_out_of_range_are_refused(make_market: MakeMarket, actions: Any, wrong: Any) -> None:
    """An action outside its space raises InvalidAction and names the range."""
    env = FuturesTradingEnv(make_market([100.0] * 3, contract=CONTRACT), replace(ONE_BAR, actions=actions))
    env.reset()
    with pytest.raises(InvalidAction, match="Action must"):
        env.step(wrong)


def test_same_seed_same_episodes() -> None:
    """Random starts and lengths depend on the seed alone."""
    config = EnvConfig(random_start=True, random_length=True, episode_bars=40)

    def starts(seed: int) -> list[tuple[int, int]]:
        env = FuturesTradingEnv(config=config)
        places = [env.reset(seed=seed)[1]["bar"]]
        lengths = []
        for _ in range(4):
            steps = 1
            while not env.step(HOLD)[3]:
                steps += 1
            lengths.append(steps)
            places.append(env.reset()[1]["bar"])
        return list(zip(places[:-1], lengths, strict=True))

    assert starts(7) == starts(7)
    assert starts(7) != starts(8)
    assert all(20 <= length <= 40 for _, length in starts(7))


def test_options_name_the_start(make_market: MakeMarket) -> None:
    """`reset(options=...)` starts at a bar of a market; an unusable one is refused."""
    markets = [make_market([100.0] * 6, symbol=name, contract=CONTRACT) for name in ("A", "B")]
    env = FuturesTradingEnv(markets, ONE_BAR)
    assert env.reset(options={"market": 1, "bar": 3})[1]["bar"] == 3
    assert env.step(HOLD)[4]["bar"] == 4
    with pytest.raises(ConfigError, match="bar"):
        env.reset(options={"bar": 5})


def test_several_markets_are_all_visited(make_market: MakeMarket) -> None:
    """Random starts draw from every market, and the record has that market's bars."""
    markets = [make_market([price] * 30, symbol=str(price), contract=CONTRACT) for price in (100.0, 200.0)]
    env = FuturesTradingEnv(markets, replace(ONE_BAR, random_start=True, episode_bars=3))
    seen = set()
    for seed in range(20):
        env.reset(seed=seed)
        seen.add(env.step(BUY)[4]["entry_price"])
    assert seen == {100.0, 200.0}


def test_start_and_stop_bound_the_episode() -> None:
    """The first decision falls on `start`, the last bar seen is `stop` - 1."""
    env = FuturesTradingEnv(config=EnvConfig(start=1_000, stop=1_010))
    _, info = env.reset()
    assert info["bar"] == 1_000
    while not env.step(HOLD)[3]:
        pass
    assert env.history().bar.tolist() == list(range(1_000, 1_010))


@pytest.mark.parametrize("reward", REWARDS)
def test_every_reward_is_finite(reward: Any) -> None:
    """Each reward runs on real bars and stays finite; "profit" adds up to the gain."""
    env = FuturesTradingEnv(config=EnvConfig(reward=reward, leverage=10.0, episode_bars=300))
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(0, 3, 300)
    rewards = [env.step(int(action))[1] for action in actions]
    assert np.isfinite(rewards).all()
    if reward == "profit":
        assert sum(rewards) == pytest.approx(env.history().equity.iloc[-1] - 10_000)


def test_copies_and_pickles_go_on_alike() -> None:
    """A deep copy and a pickle of a running environment continue as the original does."""
    env = FuturesTradingEnv(config=EnvConfig(leverage=5.0))
    env.reset(seed=0)
    env.step(BUY)
    others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    for each in (env, *others):
        each.step(HOLD)
        each.step(SELL)
    for other in others:
        assert other.history().equals(env.history())
        assert other.trades().equals(env.trades())


def test_make_takes_markets_and_configs(make_market: MakeMarket) -> None:
    """Keyword arguments travel through `gym.make`."""
    env = gymnasium.make(
        "quantum_trader.envs:FuturesTrading-v0",
        market=make_market([100.0] * 5, contract=CONTRACT),
        config=replace(ONE_BAR, leverage=2.0),
    )
    env.reset()
    assert env.step(BUY)[4]["position"] == 200.0


BAD: list[tuple[dict[str, Any], str]] = [
    ({"leverage": 51.0}, "leverage 51 is above the 50 that test allows"),
    ({"leverage": 40.0, "initial_balance": 50_000.0}, "up to a notional of 1,000,000"),
    ({"initial_balance": 3.0}, "below the smallest order of 5.00"),
    ({"episode_bars": 9}, "episode_bars 9 is longer than the 4 steps"),
    ({"start": 4}, "no bar from 4 on"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_configurations_say_what_is_wrong(
    make_market: MakeMarket, changes: dict[str, Any], message: str
) -> None:
    """What a market does not allow is refused when the environment is made, with what to change."""
    market = make_market([100.0] * 5, contract=replace(CONTRACT, min_notional=5.0))
    with pytest.raises(ConfigError, match=message):
        FuturesTradingEnv(market, replace(ONE_BAR, **changes))


def test_a_unit_below_one_lot_is_refused(make_market: MakeMarket) -> None:
    """With lots of 1,000 at 100, an account of 10,000 could never trade."""
    with pytest.raises(ConfigError, match="less than one lot"):
        FuturesTradingEnv(make_market([100.0] * 5, contract=replace(CONTRACT, lot_size=1_000.0)), ONE_BAR)


WRONG_FIELDS: list[dict[str, Any]] = [
    {"actions": "orders"},
    {"reward": "sharpe"},
    {"window": 61},
    {"delay_bars": 3},
    {"leverage": 0.0},
    {"initial_balance": float("nan")},
    {"equity_floor": 1.0},
    {"random_length": True},
    {"actions": "continuous", "max_units": 2},
    {"cost_multiplier": -1.0},
]


@pytest.mark.parametrize("fields", WRONG_FIELDS, ids=str)
def test_wrong_fields_are_refused(fields: dict[str, Any]) -> None:
    """Each field is checked once, when the configuration is made."""
    with pytest.raises(ConfigError):
        EnvConfig(**fields)


def test_configs_survive_json() -> None:
    """A configuration written as plain values is read back equal."""
    config = EnvConfig(actions="target", max_units=3, stop=500, reward="profit")
    assert from_plain(EnvConfig, to_plain(config), where="test") == config


def test_the_sample_trades_whole() -> None:
    """The embedded market runs from its first usable bar to a break or its end."""
    env = FuturesTradingEnv()
    _, info = env.reset(seed=0)
    assert info["bar"] == int(np.flatnonzero(sample_market().usable)[0])
    steps = 0
    while not env.step(steps % 3)[3]:
        steps += 1
    assert steps > 1_000
