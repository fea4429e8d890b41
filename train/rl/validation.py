"""Tries a policy on the validation slice: one deterministic pass over every market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from quantum_trader.agents.policy_network import PolicyActions, PolicyNetwork, orders
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import ACCOUNT, TRADE, records
from quantum_trader.envs.policy_pass import Policy, decide_in_turn, look_up
from quantum_trader.train.rl.config import Algorithm, RLConfig, can_export
from quantum_trader.train.rl.export import TARGETS, export_policy
from quantum_trader.train.rl.table import EncodedMarket

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Actions = NDArray[np.int8]

_RUIN = 1e-12
_TARGETS = np.array(TARGETS, dtype=np.int8)


class ValidationResult(NamedTuple):
    """What a policy did on the validation slice, averaged over markets."""

    log_return: float
    """Mean of ln(final / initial equity) over the markets, after all costs."""
    utility: float
    """The same less half the risk aversion times the sum of squared log returns of the bars: what the policy
    is chosen by."""
    equity: float
    """Mean of final / initial equity."""
    drawdown: float
    """Mean of the largest fall of equity from its highest level so far, as a fraction of that level."""
    shares: tuple[float, float, float]
    """Shares of HOLD, BUY and SELL among the orders."""
    exposure: float
    """Share of bars with a position."""
    turnover: float
    """Trades closed per bar."""
    trades: float
    """Trades closed per market."""
    win_rate: float
    """Share of all trades closed with a net profit; 0 without trades."""
    costs: float
    """Fees and slippage as a fraction of the initial balance."""


class TablePolicy:
    """The most probable answer of a policy network on tables of encoder outputs, as orders."""

    def __init__(self, network: PolicyNetwork, tables: Sequence[Floats32]) -> None:
        self._network = network
        self._tables = tables

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """int8 [K]: one look-up a row, one pass for all."""
        return self._network.act(look_up(self._tables, market, bar), account)


class RecurrentTablePolicy:
    """A recurrent model's most probable answer; each market has a memory of its own."""

    def __init__(self, model: Any, tables: Sequence[Floats32], actions: PolicyActions) -> None:
        self._model, self._tables, self._actions = model, tables, actions
        layers, width = model.policy.lstm_actor.num_layers, model.policy.lstm_actor.hidden_size
        self._memory = np.zeros((2, layers, len(tables), width), dtype=np.float32)

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """int8 [K]: the memories of `market` are read and moved on."""
        state = tuple(self._memory[:, :, market])
        seen = {"embedding": look_up(self._tables, market, bar), "account": account}
        begun = np.zeros(len(market), dtype=np.bool_)
        answer, after = self._model.predict(seen, state=state, episode_start=begun, deterministic=True)
        self._memory[:, :, market] = np.stack(after)
        wanted = answer.astype(np.int8) if self._actions == "order" else _TARGETS[answer]
        return orders(wanted, account, self._actions)


def policy_of(
    model: BaseAlgorithm, algorithm: Algorithm, config: RLConfig, tables: Sequence[Floats32]
) -> Policy:
    """A model in training as a policy on markets with these tables."""
    if can_export(algorithm):
        return TablePolicy(export_policy(model, algorithm, config), tables)
    actions: PolicyActions = "order" if config.env.actions == "order" else "target"
    return RecurrentTablePolicy(model, tables, actions)


def try_policy(
    policy: Policy, markets: Sequence[EncodedMarket], config: EnvConfig, risk_aversion: float = 0.0
) -> ValidationResult:
    """Pass over every market from its first usable bar to its end, always taking the most probable answer.

    Args:
        policy: decides.
        markets: the validation slice.
        config: the rules of training; see `order_rules` for what differs here.
        risk_aversion: price of risk in `utility`.
    """
    config = order_rules(config)
    decided = decide_in_turn(policy, [item.market for item in markets], config)
    found, counts, won, closed = [], np.zeros(3), 0, 0
    for item, actions in zip(markets, decided, strict=True):
        record = run_actions(item.market, actions, config)
        equity = np.maximum(record.equity, _RUIN * record.initial_balance)
        growth = equity[-1] / record.initial_balance
        risk = float((np.diff(np.log(equity)) ** 2).sum())
        peak = np.maximum.accumulate(np.maximum(equity, record.initial_balance))
        held = records(record.rows, ACCOUNT)["quantity"] != 0.0
        trades = records(record.closed, TRADE)["net_pnl"]
        found.append(
            (
                np.log(growth),
                np.log(growth) - 0.5 * risk_aversion * risk,
                growth,
                float((1.0 - equity / peak).max()),
                held.mean(),
                len(trades) / len(record),
                len(trades),
                (record.fees + record.slippage) / record.initial_balance,
            )
        )
        won, closed = won + int((trades > 0).sum()), closed + len(trades)
        counts += np.bincount(actions[item.market.usable], minlength=3)
    log_return, utility, growth, drawdown, exposure, turnover, number, costs = np.mean(found, axis=0).tolist()
    hold, buy, sell = (counts / counts.sum()).tolist()
    return ValidationResult(
        log_return=log_return,
        utility=utility,
        equity=growth,
        drawdown=drawdown,
        shares=(hold, buy, sell),
        exposure=exposure,
        turnover=turnover,
        trades=number,
        win_rate=won / closed if closed else 0.0,
        costs=costs,
    )


def order_rules(config: EnvConfig) -> EnvConfig:
    """The rules by which policies are judged: orders of one unit, and the contract's own costs.

    Whatever made training easier, no costs or drawn ones, has no place in the judgement.
    """
    return replace(config, actions="order", cost_multiplier=1.0, cost_range=None)
