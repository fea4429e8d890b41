"""A small fold that the tests of this folder share, and where agents that go wrong are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.prepared import Prepared, prepare

BAD_AGENTS = Path(__file__).with_name("bad_agents.py")


@pytest.fixture(scope="session")
def fold() -> Prepared:
    """Two walks, the second of which begins later; a few hundred rows."""
    bars = [random_walk_bars(900, seed, symbol=f"WALK{seed}") for seed in (0, 1)]
    markets = [Market.build(part, preset("binance-btc")) for part in (bars[0], bars[1][300:])]
    return prepare(markets, DataConfig(labels=LabelConfig(barrier_atr=1.4)))


@pytest.fixture(scope="session")
def bad_agents() -> str:
    """The file of the agents that go wrong; add ":" and a class."""
    return str(BAD_AGENTS)
