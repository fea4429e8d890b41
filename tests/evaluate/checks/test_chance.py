"""Honest learners find nothing where nothing is; leaky ones do, and fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.agents.signals import Agent
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import PlantedConfig, planted_bars
from quantum_trader.evaluate.checks.chance import label_shuffle, noise, permuted, plain_market
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.tree_config import XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost


@pytest.fixture(scope="module")
def learnable() -> Prepared:
    """A market in which there is much to know."""
    bars = planted_bars(PlantedConfig(bars=6_000, cue_probability=0.5, drift=2.0)).bars
    return prepare([plain_market(bars)], DataConfig())


def fit_trees(train: PooledDataset, validation: PooledDataset) -> Agent:
    return fit_xgboost(train, validation, XGBoostConfig(rounds=40, learning_rate=0.1, n_jobs=1))


def foreseeing(bars: Bars) -> Market:
    """Features of the next bar: shift(-1)."""
    market = plain_market(bars)
    features = np.concatenate([market.features[1:], market.features[-1:]])
    return replace(market, features=features, table=market.scaler.transform(features))


def test_permuted_labels_teach_nothing(learnable: Prepared) -> None:
    """On permuted labels the regression knows nothing of a market that has much to know."""
    found = label_shuffle(learnable)
    assert found.passed is True, found.detail


def test_a_fit_that_sees_the_test_fails_on_permuted_labels(learnable: Prepared) -> None:
    """Where the answers come from elsewhere, here the test rows, permuting the labels does not matter."""
    peeked = fit_logistic(learnable.test, learnable.validation)

    def peek(train: PooledDataset, validation: PooledDataset) -> Agent:
        return peeked

    found = label_shuffle(learnable, peek)
    assert found.passed is False, found.detail


def test_labels_that_were_not_permuted_fail(learnable: Prepared) -> None:
    """The check sees skill where there is some: with true labels it fails."""
    taught = fit_logistic(learnable.train, learnable.validation)

    def true_labels(train: PooledDataset, validation: PooledDataset) -> Agent:
        return taught

    assert label_shuffle(learnable, true_labels).passed is False


def test_permuting_keeps_windows_and_shares(learnable: Prepared) -> None:
    """Observations stay where they are, labels change places and keep their counts and their returns."""
    rows = learnable.train
    mixed = permuted(rows, np.random.default_rng(0))
    some = np.arange(20)
    assert np.array_equal(mixed.windows(some), rows.windows(some))
    assert np.array_equal(np.bincount(mixed.action), np.bincount(rows.action))
    assert not np.array_equal(mixed.action, rows.action)
    assert {*zip(mixed.action, mixed.returns[:, 0], strict=True)} == {
        *zip(rows.action, rows.returns[:, 0], strict=True)
    }


def test_noise_pays_nobody() -> None:
    """On 20 random walks the regression profits about as often as a coin, and never at high costs."""
    found = noise()
    assert found.passed is True, found.detail


def test_features_of_the_next_bar_profit_from_noise() -> None:
    """Features shifted by one bar turn random walks into money, and fail."""
    found = noise(seeds=range(10), bars=1_200, build=foreseeing)
    assert found.passed is False, found.detail


def test_luck_within_bounds_passes_and_beyond_fails() -> None:
    """One walk with a profit is luck; what pays high costs is not, nor is a cost that is none."""
    assert noise(seeds=range(6), bars=1_200).passed is True
    assert noise(seeds=range(6), bars=1_200, fee=0.0).passed is False


@pytest.mark.slow
def test_noise_pays_no_trees() -> None:
    """XGBoost, which can fit anything, earns nothing on random walks either."""
    found = noise(fit_trees, seeds=range(10))
    assert found.passed is True, found.detail
