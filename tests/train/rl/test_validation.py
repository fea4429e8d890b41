"""Trying a policy on the validation slice, against accounts worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from quantum_trader.agents.policy_network import PolicyNetwork, PolicyShape
from quantum_trader.envs.actions import Action
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.policy_pass import decide_in_turn, look_up
from quantum_trader.train.rl.table import EncodedMarket
from quantum_trader.train.rl.validation import (
    RecurrentTablePolicy,
    TablePolicy,
    order_rules,
    policy_of,
    try_policy,
)

from . import tiny_policy
from .tiny_policy import CONFIG

FEE, SLIP = 0.0005, 0.0001
"""Of the contract."""


class Plan:
    """Orders by bar, whatever is seen: {market: {bar: action}}."""

    def __init__(self, plans: dict[int, dict[int, Action]]) -> None:
        self._plans = plans

    def act(self, market: Any, bar: Any, account: Any) -> NDArray[np.int8]:
        """Orders of the plan, HOLD elsewhere."""
        pairs = zip(market.tolist(), bar.tolist(), strict=True)
        return np.array([self._plans.get(m, {}).get(t, Action.HOLD) for m, t in pairs], dtype=np.int8)


def _growth(item: EncodedMarket, side: int, opened: int, closed: int) -> float:
    """Equity factor of one trade of leverage 1, decided at the closes of two bars, filled at the next opens.

    Quantity q = E / C, entry at O (1 + side slip), exit at O' (1 - side slip), a fee on both notionals. Where
    a full position and its fee do not fit into the equity, the order is cut to q = E / (p (1 + fee)).
    """
    bars = item.market.bars
    entry = bars.open[opened + 1] * (1 + side * SLIP)
    leave = bars.open[closed + 1] * (1 - side * SLIP)
    quantity = min(1 / bars.close[opened], 1 / (entry * (1 + FEE)))
    return float(1 + quantity * (side * (leave - entry) - FEE * (entry + leave)))


def test_figures_are_those_of_an_account_by_hand() -> None:
    """A long trade in the one market and two shorts in the other: return, equity, trades, win rate, shares,
    exposure, turnover and costs as worked out from opens, fees and slippage."""
    markets = [replace(item) for item in tiny_policy.validation()]
    contract = replace(markets[0].market.contract, has_funding=False)
    markets = [replace(item, market=replace(item.market, contract=contract)) for item in markets]
    first, second = markets
    plan = Plan(
        {
            0: {70: Action.BUY, 80: Action.SELL},
            1: {65: Action.SELL, 68: Action.BUY, 90: Action.SELL, 95: Action.BUY},
        }
    )
    found = try_policy(plan, markets, CONFIG.env)
    trades = [_growth(first, 1, 70, 80), _growth(second, -1, 65, 68), _growth(second, -1, 90, 95)]
    equity = [trades[0], trades[1] * trades[2]]
    assert found.equity == pytest.approx(np.mean(equity), rel=1e-9)
    assert found.log_return == pytest.approx(np.mean(np.log(equity)), rel=1e-9)
    assert found.utility == found.log_return
    assert found.trades == 1.5
    assert found.win_rate == pytest.approx(sum(growth > 1 for growth in trades) / 3)
    bars = len(first.market) - 59
    assert found.turnover == pytest.approx(1.5 / bars)
    assert found.exposure == pytest.approx((10 + 3 + 5) / (2 * bars))
    decisions = 2 * int(first.market.usable.sum())
    assert found.shares == pytest.approx(((decisions - 6) / decisions, 3 / decisions, 3 / decisions))
    assert sum(found.shares) == pytest.approx(1.0)
    # Six fills of about the whole equity.
    assert found.costs == pytest.approx(3 * (FEE + SLIP), rel=0.05)
    assert 0 < found.drawdown < 0.2


def test_risk_is_taken_off_the_utility() -> None:
    """Half the aversion times the sum of squared log returns; the same return with less risk is better."""
    plan = Plan({m: {70: Action.BUY} for m in (0, 1)})
    bare = try_policy(plan, tiny_policy.validation(), CONFIG.env)
    averse, twice = (try_policy(plan, tiny_policy.validation(), CONFIG.env, risk) for risk in (4.0, 8.0))
    assert averse.log_return == bare.log_return
    risk = []
    for item in tiny_policy.validation():
        close, fill = item.market.bars.mark_close, item.market.bars.open[71]
        # Held from the open of bar 71 to the end: the log returns of the closes, the first from the fill on.
        risk.append(np.sum(np.diff(np.log([fill, *close[71:]])) ** 2))
    assert bare.utility - averse.utility == pytest.approx(2.0 * np.mean(risk), rel=0.05)
    assert bare.utility - twice.utility == pytest.approx(2 * (bare.utility - averse.utility))


def test_costs_are_the_contracts_own() -> None:
    """Training without costs, or with drawn ones, changes nothing in the judgement; nor does its episodes."""
    plan = Plan({0: {70: Action.BUY, 80: Action.SELL}, 1: {65: Action.SELL}})
    expected = try_policy(plan, tiny_policy.validation(), EnvConfig())
    assert expected.costs > 0
    for change in (
        {"cost_multiplier": 0.0},
        {"cost_multiplier": 3.0, "cost_range": (0.5, 2.0)},
        {"episode_bars": 10, "random_start": True, "random_length": True},
        {"actions": "target"},
    ):
        env = EnvConfig(**change)  # type: ignore[arg-type]
        assert try_policy(plan, tiny_policy.validation(), env) == expected
    assert order_rules(EnvConfig(leverage=3.0)).leverage == 3.0


def test_a_lost_account_is_still_a_number() -> None:
    """After a liquidation of everything the return is finite and very low."""
    env = EnvConfig(leverage=50.0, equity_floor=0.0)
    every = dict.fromkeys(range(60, 119), Action.BUY)
    found = try_policy(Plan({0: every, 1: every}), tiny_policy.validation(), env)
    assert np.isfinite(found.log_return)
    assert found.drawdown > 0.5


def test_nothing_done_is_nothing_earned() -> None:
    """A policy that stays out has a return of 0, no trades and no win rate."""
    found = try_policy(Plan({}), tiny_policy.validation(), CONFIG.env, 4.0)
    assert (found.log_return, found.utility, found.equity, found.drawdown) == (0.0, 0.0, 1.0, 0.0)
    assert (found.trades, found.win_rate, found.costs, found.exposure) == (0.0, 0.0, 0.0, 0.0)
    assert found.shares == (1.0, 0.0, 0.0)


class Wish(PolicyNetwork):
    """Wants to be long while the table's only number is above 0, out of the market otherwise."""

    def forward(self, state: torch.Tensor, account: torch.Tensor) -> torch.Tensor:
        """Logits in the order of `Action`."""
        wish = state[:, :1]
        return torch.cat([-wish, wish, torch.full_like(wish, -100.0)], dim=1)


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_targets_are_reached_also_with_delays(delay: int) -> None:
    """A policy that wants to be long from bar 70 to bar 89 is so, as late as its orders are, and never short:
    orders still on their way are not given again."""
    shape = PolicyShape(state_size=1, features="outputs", account_hidden=1, layers=(), actions="target")
    market = tiny_policy.validation()[0].market
    table = np.where(np.isin(np.arange(len(market)), np.arange(70, 90)), 1.0, -1.0)
    policy = TablePolicy(Wish(shape), [table[:, None].astype(np.float32)])
    (decided,) = decide_in_turn(policy, [market], order_rules(replace(CONFIG.env, delay_bars=delay)))
    given = {int(bar): Action(decided[bar]) for bar in np.flatnonzero(decided)}
    assert given == {70: Action.BUY, 90: Action.SELL}


def test_rows_are_looked_up_by_market_and_bar() -> None:
    """Row k is row `bar[k]` of table `market[k]`."""
    tables = [np.arange(20, dtype=np.float32).reshape(10, 2) + 100 * m for m in range(3)]
    found = look_up(tables, np.array([2, 0, 2]), np.array([1, 9, 0]))
    np.testing.assert_array_equal(found, [[202, 203], [18, 19], [200, 201]])


def _recurrent() -> Any:
    model, _ = tiny_policy.model("recurrent_ppo")
    with torch.no_grad():
        model.policy.action_net.weight.mul_(100.0)
    return model


def test_each_market_has_a_memory_of_its_own() -> None:
    """Markets in another order give their results in that order; together or alone makes no difference."""
    model, (first, second) = _recurrent(), tiny_policy.validation()
    alone = []
    for item in (first, second):
        policy = RecurrentTablePolicy(model, [item.table], "target")
        alone += decide_in_turn(policy, [item.market], order_rules(CONFIG.env))
    for order in ((first, second), (second, first)):
        policy = RecurrentTablePolicy(model, [item.table for item in order], "target")
        found = decide_in_turn(policy, [item.market for item in order], order_rules(CONFIG.env))
        expected = alone if order[0] is first else alone[::-1]
        np.testing.assert_array_equal(np.stack(found), np.stack(expected))
    assert (alone[0] != alone[1]).any()


def test_memory_moves_on_for_those_asked_only() -> None:
    """A market that is not asked keeps its memory; one that is goes on as stable-baselines3's own loop."""
    model, markets = _recurrent(), tiny_policy.validation()
    policy = RecurrentTablePolicy(model, [item.table for item in markets], "target")
    accounts = tiny_policy.accounts(12).numpy()
    accounts[:, 0] = 0.0
    state, answers, expected = None, [], []
    for step in range(12):
        if step % 3 == 1:
            policy.act(np.array([0]), np.array([60 + step]), accounts[step : step + 1])
            continue
        bar = np.array([70 + step])
        answers.append(policy.act(np.array([1]), bar, accounts[step : step + 1])[0])
        seen = {"embedding": markets[1].table[bar], "account": accounts[step : step + 1]}
        begun = np.zeros(1, dtype=bool)
        answer, state = model.predict(seen, state=state, episode_start=begun, deterministic=True)
        expected.append([Action.SELL, Action.HOLD, Action.BUY][answer[0]])
    assert answers == expected


def test_policy_of_a_model() -> None:
    """An exportable model is tried by its exported network, a recurrent one as it is."""
    tables = [item.table for item in tiny_policy.validation()]
    assert isinstance(policy_of(tiny_policy.model("dqn")[0], "dqn", CONFIG, tables), TablePolicy)
    recurrent = policy_of(_recurrent(), "recurrent_ppo", CONFIG, tables)
    assert isinstance(recurrent, RecurrentTablePolicy)
