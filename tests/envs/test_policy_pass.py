"""Deciding with the account in view: the decisions, replayed, give the very accounts that were seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.joined import decision_rows, quote_matrix, rule_matrix
from quantum_trader.envs.market import Market
from quantum_trader.envs.observe import ACCOUNT_NAMES, ACCOUNT_SIZE, gather_accounts
from quantum_trader.envs.policy_pass import decide_in_turn
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

from .conftest import MakeMarket

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Actions = NDArray[np.int8]

POSITION, DRAWDOWN = ACCOUNT_NAMES.index("position"), ACCOUNT_NAMES.index("drawdown")
CONTRACT = FuturesContract(name="test")
GAP = (500, 530)
"""Bars taken out of the second market: too many for a window to span."""


class Watched:
    """A policy that remembers what it was shown, by market and bar."""

    def __init__(self, rule: Callable[[Indices, Indices, Floats32], Actions]) -> None:
        self.rule = rule
        self.seen: dict[tuple[int, int], Floats32] = {}
        self.given: dict[tuple[int, int], int] = {}

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """Asks the rule; every bar of a market may come up once only."""
        actions = self.rule(market, bar, account)
        for m, t, row, action in zip(market, bar, account, actions, strict=True):
            assert (m, t) not in self.seen
            self.seen[int(m), int(t)] = row.copy()
            self.given[int(m), int(t)] = int(action)
        return actions


def buy_when_flat_sell_when_long(market: Indices, bar: Indices, account: Floats32) -> Actions:
    """One bar in, one bar out."""
    return np.where(account[:, POSITION] > 0, Action.SELL, Action.BUY).astype(np.int8)


def by_every_digit(market: Indices, bar: Indices, account: Floats32) -> Actions:
    """Chaotic on purpose: the smallest difference in any account number soon changes every later action."""
    return (np.floor(account.astype(np.float64).sum(axis=1) * 1e4) % 3).astype(np.int8)


def without(bars: Bars, start: int, stop: int) -> Bars:
    """`bars` with a hole."""
    arrays = {
        field.name: np.delete(getattr(bars, field.name), slice(start, stop)) for field in fields(bars)[2:]
    }
    return replace(bars, **arrays)


@pytest.fixture(scope="module")
def markets() -> list[Market]:
    """Two markets of different lengths, the second with a gap of 30 bars."""
    first = synthetic_bars(SyntheticConfig(bars=700, seed=1, symbol="FIRST"))
    second = synthetic_bars(SyntheticConfig(bars=1_000, seed=2, symbol="SECOND"))
    return [Market.build(first, CONTRACT), Market.build(without(second, *GAP), CONTRACT)]


def replayed(record: Record, market: Market, config: EnvConfig, bars: list[int]) -> Floats32:
    """float32 [K, ACCOUNT_SIZE]: the account numbers of a replay at the close of `bars`."""
    rows = record.rows[np.array(bars) - record.first].copy()
    quotes, rules = quote_matrix(market, decision_rows(market, config)), rule_matrix(market.contract, config)
    view = np.zeros((len(rows), ACCOUNT_SIZE), dtype=np.float32)
    gather_accounts(rows, np.arange(len(rows)), quotes, rules, view)
    return view


@pytest.mark.parametrize(
    "config",
    [
        EnvConfig(),
        EnvConfig(leverage=20.0, stop_loss_atr=2.0, take_profit_atr=3.0, max_units=2),
        EnvConfig(leverage=5.0, delay_bars=1, max_holding_bars=7, start=300, stop=650),
    ],
    ids=["plain", "leveraged", "delayed"],
)
def test_replay_gives_the_accounts_that_were_seen(markets: list[Market], config: EnvConfig) -> None:
    """Trading the decisions gives, at every bar asked about, the account shown there to the bit, on markets
    of different lengths, across a gap, up to ruin."""
    policy = Watched(by_every_digit)
    decided = decide_in_turn(policy, markets, config)
    for index, (market, actions) in enumerate(zip(markets, decided, strict=True)):
        record = run_actions(market, actions, config)
        bars = sorted(bar for m, bar in policy.seen if m == index)
        assert len(bars) > 20
        seen = np.stack([policy.seen[index, bar] for bar in bars])
        np.testing.assert_array_equal(seen, replayed(record, market, config, bars))
        rows = np.array(bars) - record.first
        np.testing.assert_array_equal(seen[:, POSITION] * config.max_units, record.units[rows])
        peak = np.maximum.accumulate(record.equity)[rows]
        np.testing.assert_allclose(seen[:, DRAWDOWN], 1 - record.equity[rows] / peak, atol=1e-6)
        assert len(np.unique(record.units)) > 2, "the policy must have traded both ways"


def test_asked_at_usable_bars_only(markets: list[Market]) -> None:
    """The policy is asked once at every bar with a complete window and a bar to follow, and nowhere else;
    everywhere else the decision is HOLD."""
    policy = Watched(buy_when_flat_sell_when_long)
    decided = decide_in_turn(policy, markets, EnvConfig())
    for index, (market, actions) in enumerate(zip(markets, decided, strict=True)):
        expected = np.flatnonzero(decision_rows(market, EnvConfig()))
        assert [bar for m, bar in policy.seen if m == index] == expected.tolist()
        assert market.usable[expected].all()
        assert actions.shape == (len(market),)
        for bar in range(len(market)):
            assert actions[bar] == policy.given.get((index, bar), Action.HOLD)
    around_gap = decision_rows(markets[1], EnvConfig())[GAP[0] - 1 : GAP[0] + 59]
    assert not around_gap.any()


def test_decisions_follow_the_account(markets: list[Market]) -> None:
    """Buy when flat, sell when long: orders alternate, and after the gap, which is crossed flat, start with
    BUY again."""
    decided = decide_in_turn(Watched(buy_when_flat_sell_when_long), markets, EnvConfig())
    for market, actions in zip(markets, decided, strict=True):
        asked = np.flatnonzero(decision_rows(market, EnvConfig()))
        for run in np.split(asked, np.flatnonzero(np.diff(asked) > 1) + 1):
            np.testing.assert_array_equal(actions[run[0::2]], Action.BUY)
            np.testing.assert_array_equal(actions[run[1::2]], Action.SELL)
        record = run_actions(market, actions)
        assert set(np.unique(record.units)) == {0.0, 1.0}
    assert record.units[GAP[0] - 1 - record.first] == 0.0


def test_markets_do_not_touch_each_other(markets: list[Market]) -> None:
    """Decided together or one at a time, in any order, the decisions on a market are the same."""
    together = decide_in_turn(Watched(by_every_digit), markets, EnvConfig())
    swapped = decide_in_turn(Watched(by_every_digit), markets[::-1], EnvConfig())
    for index, market in enumerate(markets):
        (alone,) = decide_in_turn(Watched(by_every_digit), [market], EnvConfig())
        np.testing.assert_array_equal(together[index], alone)
        np.testing.assert_array_equal(swapped[::-1][index], alone)


@pytest.mark.parametrize("leverage", [1.0, 20.0])
def test_agrees_with_the_environment(markets: list[Market], leverage: float) -> None:
    """On a market without gaps, stepping `FuturesTradingEnv` shows the same accounts and takes the same
    decisions, bar by bar, to the end or to ruin."""
    market, config = markets[0], EnvConfig(leverage=leverage)
    policy = Watched(by_every_digit)
    (decided,) = decide_in_turn(policy, [market], config)
    env = FuturesTradingEnv(market, config)
    observation, info = env.reset(seed=0)
    ended, bars = False, []
    while not ended:
        assert isinstance(observation, dict)
        bars.append(info["bar"])
        np.testing.assert_array_equal(observation["account"], policy.seen[0, bars[-1]])
        action = by_every_digit(np.zeros(1), np.zeros(1), observation["account"][None])[0]
        assert action == decided[bars[-1]]
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    assert bars == [bar for _, bar in policy.seen]
    record = run_actions(market, decided, config, flatten=False)
    assert record.equity[bars[-1] + 1 - record.first] == info["equity"]


def test_episode_settings_play_no_part(markets: list[Market]) -> None:
    """Random starts and episode lengths of the training environment leave the pass as it is."""
    training = EnvConfig(random_start=True, episode_bars=50, random_length=True)
    plain = decide_in_turn(Watched(by_every_digit), markets, EnvConfig())
    for found, expected in zip(
        decide_in_turn(Watched(by_every_digit), markets, training), plain, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_ruined_account_is_asked_no_more(make_market: MakeMarket) -> None:
    """Once the equity floor ends trading, the policy is not asked again, while the other market goes on."""
    crash = make_market([100.0] * 70 + [10.0] * 30, breaks=())
    calm = make_market([100.0] * 120)
    policy = Watched(lambda market, bar, account: np.full(len(market), Action.BUY, dtype=np.int8))
    config = EnvConfig(equity_floor=0.5)
    decided = decide_in_turn(policy, [crash, calm], config)
    assert max(bar for market, bar in policy.seen if market == 0) == 69
    assert (decided[0][70:] == Action.HOLD).all()
    assert max(bar for market, bar in policy.seen if market == 1) == 118
    assert run_actions(crash, decided[0], config).ruined
