"""Markets and datasets that the tests of the checks share."""

from __future__ import annotations

import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.evaluate.records import Trial
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import Prepared, prepare


@pytest.fixture(scope="session")
def markets() -> list[Market]:
    """Two synthetic perpetuals with funding, real costs and brackets."""
    return [
        Market.build(
            synthetic_bars(SyntheticConfig(bars=2_000, seed=seed, symbol=symbol)), preset("binance-btc")
        )
        for seed, symbol in ((1, "FIRST"), (2, "SECOND"))
    ]


@pytest.fixture(scope="session")
def market(markets: list[Market]) -> Market:
    """The first of them."""
    return markets[0]


@pytest.fixture(scope="session")
def prepared(markets: list[Market]) -> Prepared:
    """Both, labelled and split."""
    return prepare(markets, DataConfig())


@pytest.fixture(scope="session")
def a_trial() -> Trial:
    """One line of a ledger."""
    return Trial(
        time="2026-01-01T00:00:00+00:00",
        trial="trial",
        key="key",
        agent="logistic",
        seed=0,
        data="data",
        split="test",
        start_ms=0,
        end_ms=3_600_000,
        bars=2,
        mean_log_return=0.001,
        sharpe=float("nan"),
        log_loss=1.08,
        returns="",
        version="0",
    )
