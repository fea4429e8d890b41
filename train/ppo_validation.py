"""Tries a policy on the validation slice: one deterministic pass over every market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.ppo_network import PolicyNetwork
from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.policy_pass import decide_in_turn
from quantum_trader.train.ppo_table import EncodedMarket


class ValidationResult(NamedTuple):
    """What a policy did on the validation slice, averaged over markets."""

    log_return: float
    """Mean of ln(final / initial equity) over the markets, after all costs."""
    shares: tuple[float, float, float]
    """Shares of HOLD, BUY and SELL among the decisions."""
    turnover: float
    """Trades closed per bar."""
    costs: float
    """Fees and slippage as a fraction of the initial balance."""


class TablePolicy:
    """The most probable action of a policy network on tables of encoder outputs."""

    def __init__(self, network: PolicyNetwork, tables: Sequence[NDArray[np.float32]]) -> None:
        self._network = network
        self._tables = tables

    def act(
        self, market: NDArray[np.int64], bar: NDArray[np.int64], account: NDArray[np.float32]
    ) -> NDArray[np.int8]:
        """int8 [K]: one look-up a row, one pass for all."""
        rows = np.stack([self._tables[m][t] for m, t in zip(market, bar, strict=True)])
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(rows), torch.from_numpy(account))
        return np.asarray(logits.argmax(dim=-1).numpy(), dtype=np.int8)


def try_policy(
    network: PolicyNetwork, markets: Sequence[EncodedMarket], config: EnvConfig
) -> ValidationResult:
    """Pass over every market from its first usable bar to its end, always taking the most probable action."""
    policy = TablePolicy(network, [item.table for item in markets])
    decided = decide_in_turn(policy, [item.market for item in markets], config)
    returns, turnovers, costs, chosen = [], [], [], []
    for item, actions in zip(markets, decided, strict=True):
        record = run_actions(item.market, actions, config)
        final = max(float(record.equity[-1]), 1e-12)
        returns.append(np.log(final / record.initial_balance))
        turnovers.append(len(record.closed) / len(record))
        costs.append((record.fees + record.slippage) / record.initial_balance)
        chosen.append(actions[item.market.usable])
    counts = np.bincount(np.concatenate(chosen), minlength=3) / sum(len(part) for part in chosen)
    return ValidationResult(
        log_return=float(np.mean(returns)),
        shares=(float(counts[Action.HOLD]), float(counts[Action.BUY]), float(counts[Action.SELL])),
        turnover=float(np.mean(turnovers)),
        costs=float(np.mean(costs)),
    )
