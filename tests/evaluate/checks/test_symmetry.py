"""Labels and agents that treat rises and falls alike pass; lopsided ones fail."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from quantum_trader.agents.signals import Agent, ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.symmetry import Label, agent_mirrored, labels_mirrored
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import Labels, triple_barrier
from quantum_trader.train.logistic import fit_logistic

CONFIG = LabelConfig(barrier_atr=1.4)


def ties_are_wins(market: Market, config: LabelConfig) -> Labels:
    """Where a bar touches both barriers, the row counts as a win for a buyer."""
    labels, bars = triple_barrier(market, config), market.bars
    row = np.flatnonzero(labels.valid)
    assert config.barrier_atr is not None
    fill, width = bars.open[row + 1], config.barrier_atr * market.atr[row] / bars.close[row]
    end = labels.end[row]
    both = (bars.high[end] >= fill * (1 + width)) & (bars.low[end] <= fill * (1 - width))
    action = labels.action.copy()
    action[row[both]] = Action.BUY
    return replace(labels, action=action)


def by_return(threshold_up: float, threshold_down: float) -> Label:
    """Labels by the six-bar return, with another threshold for rises than for falls."""

    def label(market: Market, config: LabelConfig) -> Labels:
        labels = triple_barrier(market, config)
        assert config.barrier_atr is not None
        width = config.barrier_atr * market.atr / market.bars.close
        moved = np.nan_to_num(labels.forward_returns[:, 2] / width)
        action = np.where(moved > threshold_up, Action.BUY, Action.HOLD)
        action = np.where(moved < -threshold_down, Action.SELL, action)
        return replace(labels, action=np.where(labels.valid, action, -1).astype(np.int8))

    return label


@dataclass(frozen=True)
class Biased:
    """Adds something to P(BUY) whatever it sees."""

    agent: Agent
    name: str = "biased"

    def signals(self, inputs: ModelInputs) -> Signals:
        stated = self.agent.signals(inputs).probabilities + np.float32([0.0, 0.1, 0.0])
        return Signals(probabilities=stated / stated.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Greedy:
    """Says BUY after every move, up or down."""

    name: str = "greedy"

    def signals(self, inputs: ModelInputs) -> Signals:
        buy = 0.3 + 0.05 * np.tanh(np.abs(inputs.windows[:, -1, 0]))
        stated = np.stack([0.7 - buy, buy, np.full_like(buy, 0.3)], axis=1)
        return Signals(probabilities=stated.astype(np.float32))


def test_own_labels_change_places(market: Market) -> None:
    """BUY and SELL swap in the mirrored market, and do for any rule that treats them alike."""
    found = labels_mirrored(market, CONFIG)
    assert found.passed is True, found.detail
    assert labels_mirrored(market, CONFIG, by_return(0.5, 0.5)).passed is True


@pytest.mark.parametrize("label", [ties_are_wins, by_return(0.5, 0.7), by_return(0.5, 1e9)])
def test_lopsided_labels_fail(label: Label, market: Market) -> None:
    """Ties that count for the buyer, a nearer upper threshold, and labels without SELL fail."""
    assert labels_mirrored(market, replace(CONFIG, barrier_atr=0.8), label).passed is False


def test_markets_without_labels_are_not_asked(market: Market) -> None:
    """Where no row can be labelled there is no verdict."""
    short = Market.build(market.bars[:259], market.contract)
    assert labels_mirrored(short, CONFIG).passed is None
    assert agent_mirrored(short).passed is None


def test_own_agent_changes_sides(market: Market) -> None:
    """The regression fitted on mirrored prices says SELL where it said BUY."""
    found = agent_mirrored(market)
    assert found.passed is True, found.detail


def test_biased_agents_fail(market: Market) -> None:
    """An agent that leans to BUY, or that buys after any move, fails."""

    def lean(train: PooledDataset, validation: PooledDataset) -> Agent:
        return Biased(fit_logistic(train, validation))

    assert agent_mirrored(market, fit=lean).passed is False
    assert agent_mirrored(market, fit=lambda train, validation: Greedy()).passed is False
