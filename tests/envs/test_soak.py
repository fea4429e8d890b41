"""Millions of random steps: numbers stay finite and inside their spaces, money adds up, memory stays flat."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import QUOTE, records
from quantum_trader.envs.load import bars_from_frame
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

Floats = NDArray[np.float64]

N = 1_024
MEBIBYTE = 1 << 20
SHORT, LONG = 1_000_000, 10_000_000
SINGLE_SHORT, SINGLE_LONG = 20_000, 200_000
CHECK_EVERY = 50
TOLERANCE = 1e-9

# NaN or infinite where there is nothing to tell: no delayed decision, no stop, no target.
OPEN_FIELDS = ("intent_1", "intent_2", "stop", "target")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way of trading that the soak visits."""

    config: EnvConfig
    observation: Any = "index"
    markets: str = "pair"
    autoreset: AutoresetMode = AutoresetMode.SAME_STEP
    num_envs: int = N


RANDOM = EnvConfig(random_start=True, random_length=True, episode_bars=60, initial_balance=2_000.0)
EXITS: dict[str, Any] = {"stop_loss_atr": 1.0, "take_profit_atr": 1.5, "max_holding_bars": 12}

SCENARIOS: dict[str, Scenario] = {
    "orders": Scenario(config=replace(RANDOM, max_units=3, leverage=3.0)),
    "targets": Scenario(config=replace(RANDOM, actions="target", max_units=5, leverage=5.0)),
    "shares": Scenario(config=replace(RANDOM, actions="continuous", leverage=10.0)),
    "liquidations": Scenario(
        config=replace(
            RANDOM, actions="target", leverage=20.0, equity_floor=0.0, reward="differential_sharpe"
        ),
        markets="wild",
    ),
    "exits": Scenario(
        config=replace(RANDOM, leverage=20.0, reward="drawdown_penalised", **EXITS), markets="wild"
    ),
    "delay": Scenario(config=replace(RANDOM, max_units=2, delay_bars=2, leverage=5.0, reward="profit")),
    "delayed shares": Scenario(
        config=replace(RANDOM, actions="continuous", delay_bars=1, leverage=20.0, **EXITS),
        autoreset=AutoresetMode.NEXT_STEP,
    ),
    "drawn": Scenario(
        config=replace(RANDOM, leverage_range=(0.5, 20.0), cost_range=(0.0, 5.0), max_units=2),
        markets="all",
        observation="table",
    ),
    "windows": Scenario(config=replace(RANDOM, leverage=5.0), markets="all", observation="window"),
    "bare windows": Scenario(
        config=replace(RANDOM, leverage=5.0, window=20, observe_account=False), observation="window"
    ),
    # No episode ends: what rounding adds up to shows after thousands of trades.
    "marathon": Scenario(
        config=EnvConfig(leverage=0.5, actions="continuous", cost_multiplier=0.01, equity_floor=0.0),
        markets="long",
        num_envs=128,
    ),
}


def gappy(market_bars: int, seed: int) -> Market:
    """A perpetual with funding, some bars missing singly and some in long gaps."""
    bars = synthetic_bars(SyntheticConfig(bars=market_bars, seed=seed, symbol="GAPPY", start_price=2_000.0))
    random = np.random.default_rng(seed)
    kept = random.random(market_bars) > 0.01
    for start in range(700, market_bars, 700):
        kept[start : start + 30] = False
    return Market.build(bars_from_frame(bars.to_frame()[kept], symbol="GAPPY"), preset("okx-eth"))


def wild(seed: int) -> Market:
    """Ten times the usual volatility, funding a hundred times as large, a mark apart from the last price."""
    random = np.random.default_rng(seed)
    bars = synthetic_bars(SyntheticConfig(bars=3_000, seed=seed, symbol="WILD", volatility=0.03))
    level = np.exp(random.normal(0.0, 0.01, (4, len(bars))))
    opens, high, low, close = (
        np.array(getattr(bars, name)) * factor
        for name, factor in zip(("open", "high", "low", "close"), level, strict=True)
    )
    marks = {
        "mark_open": opens,
        "mark_close": close,
        "mark_high": np.maximum.reduce([opens, high, low, close]),
        "mark_low": np.minimum.reduce([opens, high, low, close]),
    }
    return Market.build(replace(bars, funding_rate=bars.funding_rate * 100.0, **marks), preset("binance-alt"))


@cache
def markets(name: str) -> Sequence[Market]:
    """Markets by the name that a scenario gives."""
    if name == "wild":
        return wild(1), wild(2)
    if name == "long":
        return (Market.build(synthetic_bars(SyntheticConfig(bars=8_000, seed=5)), preset("binance-eth")),)
    bars = synthetic_bars(SyntheticConfig(bars=3_000, seed=7, symbol="BIG", start_price=30_000.0))
    pair = Market.build(bars, preset("bybit-btc")), gappy(4_000, 3)
    return pair if name == "pair" else (*pair, sample_market(), wild(4))


def made(scenario: Scenario) -> FuturesTradingVectorEnv:
    given = markets(scenario.markets)
    tables = [market.table[:, :5] for market in given] if scenario.observation == "table" else None
    return FuturesTradingVectorEnv(
        given,
        scenario.num_envs,
        scenario.config,
        scenario.observation,
        tables,
        scenario.autoreset,
    )


def batches(env: FuturesTradingVectorEnv, count: int, seed: int) -> Iterator[NDArray[Any]]:
    """Random actions; shares are repeated now and then, because a repeated one trades nothing."""
    random, space = np.random.default_rng(seed), env.single_action_space
    batch: NDArray[Any] = np.zeros((env.num_envs, 1), dtype=np.float32)
    for _ in range(count):
        if isinstance(space, spaces.Discrete):
            yield random.integers(0, int(space.n), env.num_envs)
            continue
        fresh = random.random((env.num_envs, 1)) < 0.5
        drawn = random.uniform(-1.0, 1.0, (env.num_envs, 1)).astype(np.float32)
        batch = np.where(fresh, drawn, batch)
        yield batch


def parts(space: spaces.Space[Any], observation: Any) -> Iterator[tuple[str, spaces.Box, NDArray[Any]]]:
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from ((name, box, values) for _, box, values in parts(part, observation[name]))
    else:
        assert isinstance(space, spaces.Box)
        yield "observation", space, observation


def assert_inside(space: spaces.Space[Any], observation: Any) -> None:
    """Every number of every account within the bounds of its space, which NaN is not."""
    for name, box, values in parts(space, observation):
        assert values.dtype == box.dtype, name
        assert bool((values >= box.low).all() and (values <= box.high).all()), name


def assert_finite(env: FuturesTradingVectorEnv) -> None:
    """Every field of every account is a number, save those that say that there is nothing."""
    for name in env.accounts.dtype.names or ():
        values = env.accounts[name]
        if name not in OPEN_FIELDS:
            assert np.isfinite(values).all(), name
        elif name in ("stop", "target"):
            assert not np.isnan(values).any(), name
    for name in ("equity", "fees", "slippage", "liquidation_costs", "liquidation"):
        assert (env.accounts[name] >= 0.0).all(), name
    # A position worth more than its margin may pay more funding than that; free balance is never touched.
    assert (env.accounts["balance"] >= env.accounts["margin"]).all()


def imbalance(env: FuturesTradingVectorEnv) -> Floats:
    """float64 [N]: how far equity lies from what was earned and paid, as a share of all that changed hands.

    While a position is open, what its entry lost to slippage is part of its unrealised profit and of
    `slippage` already: it is given back once.
    """
    account = env.accounts
    rows = account["row"].astype(np.int64)
    mark = records(env.joined.bars, QUOTE)["mark_close"][rows]
    open_profit = account["quantity"] * (mark - account["entry"]) + account["position_slippage"]
    paid = account["fees"] + account["slippage"] + account["funding"] + account["liquidation_costs"]
    expected = env.config.initial_balance + account["gross_pnl"] + open_profit - paid
    turned = env.config.initial_balance + sum(
        np.abs(account[name]) for name in ("gross_pnl", "fees", "slippage", "funding", "liquidation_costs")
    )
    return np.asarray(np.abs(account["equity"] - expected) / turned)


def resident_bytes() -> int:
    """Memory of this process in RAM, 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return 0
    return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(kw_only=True)
class Seen:
    """What a soak met: that it visited what it was made for is worth asserting too."""

    ends: int = 0
    terminated: int = 0
    liquidations: int = 0
    worst: float = 0.0
    grown: int = 0


def soak(scenario: Scenario, steps: int, seed: int = 0) -> Seen:
    """Step an environment `steps` times in all, checking what must hold all the while."""
    env, seen = made(scenario), Seen()
    observation, _ = env.reset(seed=seed)
    assert_inside(env.single_observation_space, observation)
    rounds = steps // env.num_envs
    warm, before = rounds // 4, 0
    for number, batch in enumerate(batches(env, rounds, seed), start=1):
        observation, rewards, terminated, truncated, infos = env.step(batch)
        assert np.isfinite(rewards).all()
        assert_inside(env.single_observation_space, observation)
        assert not (terminated & truncated).any()
        if infos:
            final = infos["final_info"]
            seen.ends += int(infos["_final_info"].sum())
            seen.terminated += int(terminated.sum())
            seen.liquidations += int(final["liquidations"].sum())
            assert np.isfinite(final["episode_return"]).all()
        if number % CHECK_EVERY == 0:
            assert_finite(env)
            assert env.observation_space.contains(observation)
            seen.worst = max(seen.worst, float(imbalance(env).max()))
        if number == warm:
            gc.collect()
            before = resident_bytes()
    gc.collect()
    seen.grown = resident_bytes() - before
    seen.liquidations += int(env.accounts["liquidations"].sum())
    return seen


def assert_sound(name: str, seen: Seen) -> None:
    """Nothing leaked, nothing drifted, and the scenario met what it is there for."""
    assert seen.worst <= TOLERANCE, f"{name}: equity drifts by {seen.worst:.1e}"
    assert seen.grown < 5 * MEBIBYTE, f"{name}: {seen.grown / MEBIBYTE:.1f} MiB more after warm-up"
    assert (seen.ends > 0) == (name != "marathon")
    if name in ("liquidations", "exits"):
        assert seen.liquidations > 100
        assert seen.terminated > 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_million_random_steps(name: str) -> None:
    """A million steps spread over every mode stay finite, inside their spaces, balanced, and in place."""
    assert_sound(name, soak(SCENARIOS[name], SHORT // len(SCENARIOS)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_ten_million_random_steps(name: str) -> None:
    """The same over ten million steps, from another seed."""
    assert_sound(name, soak(SCENARIOS[name], LONG // len(SCENARIOS), seed=1))


def soak_single(env: FuturesTradingEnv, steps: int) -> int:
    """Step one environment `steps` times in all; bytes by which the process grew after the first quarter."""
    random, before = np.random.default_rng(0), 0
    space, number = env.observation_space, 0
    while number < steps:
        observation, _ = env.reset(seed=number)
        assert (len(env.history()), len(env.trades()), len(env.fills())) == (1, 0, 0)
        taken, done = 0, False
        while not done:
            action = random.integers(3)
            observation, reward, terminated, truncated, info = env.step(action)
            assert np.isfinite(reward)
            assert np.isfinite(info["equity"])
            done = terminated or truncated
            taken += 1
            if taken % 100 == 0 or done:
                assert space.contains(observation)
                assert_records(env, taken, info)
        number += taken
        if not before and number >= steps // 4:
            gc.collect()
            before = resident_bytes()
    gc.collect()
    return resident_bytes() - before


def assert_records(env: FuturesTradingEnv, taken: int, info: dict[str, Any]) -> None:
    """History, trades and fills tell the episode so far, as the counters do, and nothing before it."""
    history, trades, fills = env.history(), env.trades(), env.fills()
    assert len(history) == taken + 1
    assert np.isfinite(history.drop(columns="time").to_numpy(dtype=np.float64)).all()
    assert (history.equity.iloc[-1], history.bar.iloc[-1]) == (info["equity"], info["bar"])
    assert len(trades[trades.exit_reason != "end"]) == info["trades"]
    assert len(fills) <= 3 * taken
    assert fills.fee.sum() == pytest.approx(info["fees"] + 0.0, abs=1e-6)
    if info["position"] == 0.0:
        expected = env.config.initial_balance + trades.net_pnl.sum()
        assert info["equity"] == pytest.approx(expected, abs=TOLERANCE * env.config.initial_balance)
    if len(fills):
        assert fills.position.iloc[-1] == info["position"]


SINGLE = EnvConfig(
    max_units=3,
    leverage_range=(2.0, 20.0),
    cost_range=(0.0, 2.0),
    initial_balance=2_000.0,
    delay_bars=1,
    random_start=True,
    random_length=True,
    episode_bars=900,
    **EXITS,
)


def test_a_single_environment_keeps_one_episode_only() -> None:
    """Twenty thousand random steps: the records hold the episode at hand, and memory stays flat."""
    assert soak_single(FuturesTradingEnv(markets("all"), SINGLE), SINGLE_SHORT) < 5 * MEBIBYTE


@pytest.mark.slow
def test_a_single_environment_over_many_episodes() -> None:
    """The same over two hundred thousand steps."""
    assert soak_single(FuturesTradingEnv(markets("all"), SINGLE), SINGLE_LONG) < 5 * MEBIBYTE
