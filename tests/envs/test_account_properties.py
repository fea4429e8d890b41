"""What holds for an account whatever the prices, the funding, the actions and the configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.records import COLUMN
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
TIERS = (
    MarginTier(floor=0.0, cap=50_000.0, mmr=0.004, max_leverage=125.0),
    MarginTier(floor=50_000.0, cap=1e9, mmr=0.01, max_leverage=100.0),
)
PRICES = ("open", "high", "low", "close")


@st.composite
def contracts(draw: st.DrawFn) -> FuturesContract:
    return FuturesContract(
        name="drawn",
        taker_fee=draw(st.sampled_from([0.0, 0.0005, 0.01])),
        slippage=draw(st.sampled_from([0.0, 0.0003, 0.02])),
        liquidation_fee=draw(st.sampled_from([0.0, 0.0125])),
        tick_size=draw(st.sampled_from([0.0, 0.01])),
        lot_size=draw(st.sampled_from([0.0, 0.001])),
        min_notional=draw(st.sampled_from([0.0, 50.0])),
        tiers=TIERS,
        commission=draw(st.sampled_from([0.0, 0.3])),
        tier_amounts=draw(st.booleans()),
        maintenance_fee=draw(st.sampled_from([0.0, 0.0005])),
        maintenance_on=draw(st.sampled_from(["mark", "entry"])),
        reserve_closing_fee=draw(st.booleans()),
    )


@st.composite
def configs(draw: st.DrawFn) -> EnvConfig:
    mode = draw(st.sampled_from(["order", "target", "continuous"]))
    return EnvConfig(
        window=1,
        actions=mode,
        max_units=1 if mode == "continuous" else draw(st.integers(1, 3)),
        leverage=draw(st.sampled_from([0.5, 1.0, 5.0, 20.0, 80.0])),
        delay_bars=draw(st.integers(0, 2)),
        equity_floor=0.0,
        take_profit_atr=draw(st.sampled_from([0.0, 1.0])),
        stop_loss_atr=draw(st.sampled_from([0.0, 0.7, 3.0])),
        max_holding_bars=draw(st.sampled_from([0, 3])),
    )


def wild_market(make_market: MakeMarket, seed: int, contract: FuturesContract, bars: int = 80) -> Market:
    """Gaps, wicks, funding of both signs, a mark that differs from the last price, one long gap."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.03, bars)))
    gaps = np.where(random.random(bars) < 0.1, random.normal(0, 0.1, bars), 0.0)
    opens = np.r_[close[:1], close[:-1]] * np.exp(gaps)
    high = np.maximum(opens, close) * np.exp(random.exponential(0.01, bars))
    low = np.minimum(opens, close) * np.exp(-random.exponential(0.01, bars))
    return make_market(
        close,
        open=opens,
        high=high,
        low=low,
        mark_high=high * np.exp(random.normal(0, 0.005, bars)).clip(1.0),
        mark_low=low * np.exp(random.normal(0, 0.005, bars)).clip(None, 1.0),
        mark_open=opens * 0.7 + 0.15 * (high + low),
        mark_close=close * 0.7 + 0.15 * (high + low),
        funding={int(bar): float(random.normal(0, 0.01)) for bar in range(0, bars, 8)},
        breaks=[bars // 2],
        atr=2.0,
        contract=contract,
    )


def drawn_actions(seed: int, config: EnvConfig, bars: int) -> NDArray[Any]:
    random = np.random.default_rng(seed + 1)
    if config.actions == "continuous":
        return random.uniform(-1, 1, bars).round(1)
    return random.integers(0, 3 if config.actions == "order" else 2 * config.max_units + 1, bars)


def played(make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig) -> Record:
    market = wild_market(make_market, seed, contract)
    return run_actions(market, drawn_actions(seed, config, len(market)), config)


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs())
@settings(max_examples=150, deadline=None)
def test_money_is_conserved(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig
) -> None:
    """Final equity = initial + gross pnl - fees - slippage - funding - liquidation costs, to 1e-9."""
    record = played(make_market, seed, contract, config)
    costs = record.fees + record.slippage + record.funding + record.liquidation_costs
    expected = record.initial_balance + record.gross_pnl - costs
    assert record.equity[-1] == pytest.approx(expected, abs=1e-9 * 10_000)
    trades = record.trades()
    assert record.equity[-1] - 10_000 == pytest.approx(trades.net_pnl.sum(), abs=1e-9 * 10_000)
    for name in ("gross_pnl", "fees", "slippage", "funding"):
        assert trades[name].sum() == pytest.approx(getattr(record, name), abs=1e-9 * 10_000)


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs())
@settings(max_examples=150, deadline=None)
def test_equity_is_never_negative_and_trades_are_sane(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig
) -> None:
    """Equity stays at or above zero; costs are not negative; free balance is never borrowed."""
    record = played(make_market, seed, contract, config)
    history, trades = record.history(), record.trades()
    assert (history.equity >= 0.0).all()
    assert (np.diff(history.fees) >= 0.0).all()
    assert (np.diff(history.liquidation_costs) >= 0.0).all()
    assert (history.margin <= record.rows[:, COLUMN["balance"]]).all()
    assert (trades.bars_held >= 0).all()
    assert (trades.quantity > 0.0).all()
    low, high = (
        wild_market(make_market, seed, contract).bars.low,
        wild_market(make_market, seed, contract).bars.high,
    )
    inside = trades[trades.exit_reason != "liquidation"]
    slack = contract.slippage + 0.011 / 50
    assert (inside.exit_price <= high[inside.exit_bar] * (1 + slack)).all()
    assert (inside.exit_price >= low[inside.exit_bar] * (1 - slack)).all()


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs())
@settings(max_examples=100, deadline=None)
def test_equity_follows_from_positions_and_prices(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig
) -> None:
    """Told anew, without margins: old position to the open, new one to the close, costs off."""
    plain = replace(config, stop_loss_atr=0.0, take_profit_atr=0.0, leverage=min(config.leverage, 1.0))
    market = wild_market(make_market, seed, contract)
    last = {f"mark_{name}": getattr(market.bars, name) for name in PRICES}
    market = replace(market, bars=replace(market.bars, **last))
    record = run_actions(market, drawn_actions(seed, plain, len(market)), plain, flatten=False)
    if record.liquidations:
        return  # a short may be liquidated inside a bar even at leverage 1
    bars, history = market.bars, record.history()
    costs = (history.fees + history.slippage + history.funding).to_numpy()
    equity = 10_000.0
    for t in range(1, len(record)):
        if market.breaks[t] or (t + 1 < len(market) and market.breaks[t + 1]):
            equity = record.equity[t]  # closed at the close before a gap: told elsewhere
            continue
        equity += record.position[t - 1] * (bars.open[t] - bars.close[t - 1])
        equity += record.position[t] * (bars.close[t] - bars.open[t])
        equity -= costs[t] - costs[t - 1]
        assert record.equity[t] == pytest.approx(equity, abs=1e-8 * 10_000)


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs())
@settings(max_examples=60, deadline=None)
def test_log_rewards_add_up(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig
) -> None:
    """The rewards of an episode sum to ln(final / initial equity), to 1e-9."""
    record = played(make_market, seed, contract, config)
    final = max(record.equity[-1], 1e-6 * 10_000)
    assert record.history().reward.sum() == pytest.approx(np.log(final / 10_000), abs=1e-9)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_mirrored_prices_swap_long_and_short(make_market: MakeMarket, seed: int) -> None:
    """A long on p and a short on 200 - p earn the same, bar by bar, without costs."""
    random = np.random.default_rng(seed)
    close = 100 + np.cumsum(random.normal(0, 0.3, 60))
    opens = np.r_[close[:1], close[:-1]]
    up = make_market(close, open=opens)
    down = make_market(200 - close, open=200 - opens)
    # equal quantities need equal prices at the decision, so both start at 100
    start = 100 - close[0]
    up = make_market(close + start, open=opens + start)
    down = make_market(200 - close - start, open=200 - opens - start)
    buys, sells = np.zeros(60, dtype=int), np.zeros(60, dtype=int)
    buys[0], sells[0] = 1, 2
    config = EnvConfig(window=1, leverage=0.5)
    long, short = run_actions(up, buys, config), run_actions(down, sells, config)
    assert long.equity == pytest.approx(short.equity, abs=1e-8)
    assert (long.position == -short.position).all()


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs())
@settings(max_examples=40, deadline=None)
def test_environment_and_backtest_agree_to_the_bit(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig
) -> None:
    """Stepping an environment gives the equity, rewards and trades of `run_actions` up to the gap."""
    market = wild_market(make_market, seed, contract)
    actions = drawn_actions(seed, config, len(market))
    record = run_actions(market, actions, config)
    env = FuturesTradingEnv(market, config)
    _, info = env.reset()
    done = False
    while not done:
        action = actions[info["bar"]]
        _, _, terminated, truncated, info = env.step([action] if config.actions == "continuous" else action)
        done = terminated or truncated
    history = env.history()
    steps = len(history) - 1
    assert steps == record.bars_done - 1 or steps == len(market) // 2 - 1
    expected = record.history()[: steps + 1]
    assert (history.equity[:-1] == expected.equity[:-1]).all()
    assert (history.reward[:-1] == expected.reward[:-1]).all()
    closed = env.trades()[env.trades().exit_bar < steps]
    pair = record.trades()[: len(closed)]
    assert (closed.net_pnl.to_numpy() == pair.net_pnl.to_numpy()).all()


@given(seed=st.integers(0, 10**6), contract=contracts(), config=configs(), fork=st.integers(5, 35))
@settings(max_examples=60, deadline=None)
def test_nothing_depends_on_later_prices(
    make_market: MakeMarket, seed: int, contract: FuturesContract, config: EnvConfig, fork: int
) -> None:
    """Two paths equal up to bar t and different after give the same observations and rewards up to t."""
    one = wild_market(make_market, seed, contract)
    other = wild_market(make_market, seed + 1, contract)
    bars = one.bars
    columns = {
        name: np.r_[getattr(bars, name)[: fork + 1], getattr(other.bars, name)[fork + 1 :]]
        for name in (*PRICES, *(f"mark_{price}" for price in PRICES), "funding_rate")
    }
    forked = replace(one, bars=replace(bars, **columns))
    actions = drawn_actions(seed, config, len(one))
    envs = [FuturesTradingEnv(market, config) for market in (one, forked)]
    seen = [env.reset()[0] for env in envs]
    for t in range(fork):
        _assert_equal(*seen)
        action = [actions[t]] if config.actions == "continuous" else actions[t]
        results = [env.step(action) for env in envs]
        seen = [result[0] for result in results]
        assert results[0][1:4] == results[1][1:4]
        if results[0][2] or results[0][3]:
            return
    _assert_equal(*seen)


def _assert_equal(one: dict[str, NDArray[Any]], other: dict[str, NDArray[Any]]) -> None:
    for name, values in one.items():
        assert np.array_equal(values, other[name]), name


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from conftest import written_market
from dataclasses import replace
from quantum_trader.envs.env_config import EnvConfig
import numba
assert numba.config.DISABLE_JIT
import test_account_properties as t
print(t.digest_of_runs(written_market))
"""


def digest_of_runs(make_market: MakeMarket) -> str:
    """The last bits of some runs that visit every rule."""
    plain = FuturesContract(name="t", taker_fee=0.0005, slippage=0.0003, tick_size=0.01, tiers=TIERS)
    entry = replace(plain, maintenance_on="entry", reserve_closing_fee=True, commission=0.2)
    whole = replace(plain, tier_amounts=False, maintenance_fee=0.0005, lot_size=0.001)
    ends = []
    for seed in range(6):
        contract = (plain, entry, whole)[seed % 3]
        for mode in ("order", "target", "continuous"):
            config = EnvConfig(
                window=1,
                actions=mode,  # type: ignore[arg-type]
                leverage=20.0 if seed % 2 else 3.0,
                delay_bars=seed % 3,
                stop_loss_atr=2.0 if seed > 2 else 0.0,
                take_profit_atr=3.0 if seed > 3 else 0.0,
                max_holding_bars=4 if seed == 5 else 0,
                reward="differential_sharpe" if seed == 1 else "drawdown_penalised",
                equity_floor=0.0,
            )
            record = played(make_market, seed, contract, config)
            ends.append(float(record.rows[:, :20].sum()).hex() + str(record.trades().exit_reason.nunique()))
    return ",".join([*ends, *rewards_of_a_batch(wild_market(make_market, 1, plain))])


def rewards_of_a_batch(market: Market) -> list[str]:
    """The last bits of what a vector environment with everything drawn at random returns."""
    config = EnvConfig(
        window=2,
        random_start=True,
        random_length=True,
        episode_bars=9,
        leverage_range=(1.0, 20.0),
        cost_range=(0.0, 3.0),
        delay_bars=1,
    )
    env = FuturesTradingVectorEnv(market, 7, config)
    env.reset(seed=3)
    random, ends = np.random.default_rng(0), []
    for _ in range(30):
        observation, rewards, *_ = env.step(random.integers(0, 3, 7))
        ends.append(float(rewards.sum() + sum(part.sum() for part in observation.values())).hex())
    return ends


def test_plain_python_gives_the_same_bits(make_market: MakeMarket) -> None:
    """With the compiler off, the same code run by the interpreter gives the same numbers to the last bit."""
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == digest_of_runs(make_market)
