"""Markets that several tests of the training folder share."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import (
    PlantedConfig,
    PlantedMarket,
    SyntheticConfig,
    planted_bars,
    random_walk_bars,
    synthetic_bars,
)
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.prepared import Prepared, prepare

CONTRACT = FuturesContract(name="test")


@pytest.fixture(scope="session")
def two_markets() -> tuple[Market, Market]:
    """Two synthetic markets; the second starts 100 bars later."""
    first = synthetic_bars(SyntheticConfig(bars=900, seed=1, symbol="FIRST"))
    second = synthetic_bars(SyntheticConfig(bars=900, seed=2, symbol="SECOND"))
    return Market.build(first, CONTRACT), Market.build(second[100:], CONTRACT)


@pytest.fixture(scope="session")
def planted() -> PlantedMarket:
    """A market whose cue bars foretell the next bars."""
    return planted_bars(PlantedConfig(bars=12_000, seed=3, cue_probability=0.3))


@pytest.fixture(scope="session")
def prepared_planted(planted: PlantedMarket) -> Prepared:
    """The planted market, labelled and split."""
    return prepare([Market.build(planted.bars, CONTRACT)], DataConfig())


@pytest.fixture(scope="session")
def prepared_walks() -> Prepared:
    """Three random walks, labelled and split."""
    walks = [random_walk_bars(4_000, seed) for seed in range(3)]
    markets = [Market.build(bars, CONTRACT) for bars in walks]
    return prepare(markets, DataConfig(labels=LabelConfig(barrier_atr=1.4)))


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)
