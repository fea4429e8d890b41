"""Learners that learn reach their share of a planted edge; lazy, wrong and late ones do not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.agents.baselines import PriorClass
from quantum_trader.agents.signals import Agent
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.chance import Build, Fit, permuted, plain_market
from quantum_trader.evaluate.checks.planted import planted
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.tree_config import XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost


def lazy(train: PooledDataset, validation: PooledDataset) -> Agent:
    """States the shares of the classes, whatever it sees."""
    return PriorClass(shares=(0.4, 0.3, 0.3))


def upside_down(train: PooledDataset, validation: PooledDataset) -> Agent:
    """Takes BUY for SELL."""
    wrong = copy.copy(train)
    wrong.action = np.array([0, 2, 1], dtype=np.int8)[train.action]
    return fit_logistic(wrong, validation)


def untaught(train: PooledDataset, validation: PooledDataset) -> Agent:
    """Gets the labels of other rows."""
    return fit_logistic(permuted(train, np.random.default_rng(0)), validation)


def a_bar_late(bars: Bars) -> Market:
    """Features of the bar before: the cue is seen when it is too late to tell what it was."""
    market = plain_market(bars)
    features = np.concatenate([market.features[:1], market.features[:-1]])
    return replace(market, features=features, table=market.scaler.transform(features))


def test_the_regression_finds_the_planted_edge() -> None:
    """The light learner reaches its share of the best possible edge."""
    found = planted()
    assert found.passed is True, found.detail


@pytest.mark.parametrize(
    ("fit", "build"),
    [(lazy, plain_market), (upside_down, plain_market), (untaught, plain_market), (fit_logistic, a_bar_late)],
)
def test_what_does_not_learn_fails(fit: Fit, build: Build) -> None:
    """A constant answer, swapped or permuted labels, and features that come late fail."""
    assert planted(fit, build=build).passed is False


@pytest.mark.slow
def test_trees_find_the_planted_edge() -> None:
    """XGBoost reaches its share as well."""

    def fit(train: PooledDataset, validation: PooledDataset) -> Agent:
        return fit_xgboost(train, validation, XGBoostConfig(rounds=80, learning_rate=0.1, n_jobs=1))

    found = planted(fit)
    assert found.passed is True, found.detail
