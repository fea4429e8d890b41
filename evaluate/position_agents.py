"""Agents that decide with their account in view, as policies stepped over many accounts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import Agent, ModelInputs
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.policy_pass import Policy, decide_in_turn, look_up
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.evaluate.backtest import Actions, Ground

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class AgentPolicy:
    """Any `Agent` as a policy: windows are gathered anew for every bar and the most probable action is taken.

    Args:
        agent: is given the account as the environment shows it.
        markets: those of the dataset, with the scaler the agent was trained on.
    """

    def __init__(self, agent: Agent, markets: Sequence[Market]) -> None:
        self.agent = agent
        self.markets = markets

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """One batch over all accounts."""
        rows = list(zip(market, bar, strict=True))
        windows = [gather(self.markets[m].table, np.array([t]), WINDOW) for m, t in rows]
        context = np.stack([self.markets[m].context[t] for m, t in rows])
        inputs = ModelInputs(windows=np.concatenate(windows), context=context, account=account)
        return self.agent.signals(inputs).actions


class EmbeddingPolicy:
    """A policy on a frozen encoder's outputs, computed once per bar beforehand.

    Args:
        tables: one float32 [T, D] per market of the dataset: the encoder's output at each bar.
        decide: maps embeddings float32 [K, D] and accounts float32 [K, ACCOUNT_SIZE] to actions int8 [K].
    """

    def __init__(self, tables: Sequence[Floats32], decide: Callable[[Floats32, Floats32], Actions]) -> None:
        self.tables = tables
        self.decide = decide

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """One look-up per account."""
        return self.decide(look_up(self.tables, market, bar), account)


def decide_on_grounds(policy: Policy, places: Sequence[Ground], config: EnvConfig) -> list[Actions]:
    """What a policy decides at every bar of every ground; it is asked about markets and bars of the dataset.

    Returns:
        One int8 [bars of the ground] per ground; HOLD where no decision may be taken.
    """
    return decide_in_turn(_Placed(policy, places), [_from_start(place) for place in places], config)


class _Placed:
    """Turns grounds and their rows into the dataset's markets and bars."""

    def __init__(self, policy: Policy, places: Sequence[Ground]) -> None:
        self._policy = policy
        self._index = np.array([place.index for place in places], dtype=np.int64)
        self._cut = np.array([place.cut for place in places], dtype=np.int64)

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        return self._policy.act(self._index[market], bar + self._cut[market], account)


def _from_start(place: Ground) -> Market:
    """The ground without a decision before its start."""
    usable = place.market.usable.copy()
    usable[: place.start] = False
    return replace(place.market, usable=usable)
