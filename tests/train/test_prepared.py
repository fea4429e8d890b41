from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare


def with_garbage_after(market: Market, moment: int) -> Market:
    """The market rebuilt on bars whose prices and volumes from `moment` on are noise."""
    bars, rng = market.bars, np.random.default_rng(7)
    late = bars.timestamp >= moment
    middle = np.where(late, rng.uniform(1.0, 900.0, len(bars)), bars.close)
    noisy = replace(
        bars,
        open=np.where(late, middle, bars.open),
        close=middle,
        high=np.where(late, middle * 1.2, bars.high),
        low=np.where(late, middle * 0.8, bars.low),
        mark_high=np.where(late, middle * 1.2, bars.mark_high),
        mark_low=np.where(late, middle * 0.8, bars.mark_low),
        volume=np.where(late, rng.uniform(0.0, 1e9, len(bars)), bars.volume),
    )
    return Market.build(noisy, FuturesContract(name="test"))


def test_nothing_fitted_depends_on_later_rows(two_markets: tuple[Market, Market]) -> None:
    """Garbage in validation and test bars leaves scaler, barrier, weights and training rows as they were."""
    clean = prepare(two_markets, DataConfig())
    garbage = [with_garbage_after(market, clean.cuts.train_end) for market in two_markets]
    noisy = prepare(garbage, DataConfig(), clean.cuts)
    assert noisy.scaler == clean.scaler
    assert noisy.labels == clean.labels
    assert (noisy.train.weight == clean.train.weight).all()
    assert (noisy.train.action == clean.train.action).all()
    assert (noisy.train.returns == clean.train.returns).all()
    rows = np.arange(0, len(clean.train), 13)
    assert (noisy.train.batch(rows).windows == clean.train.batch(rows).windows).all()
    assert noisy.data_sha256 != clean.data_sha256


def test_splits_follow_one_another(two_markets: tuple[Market, Market]) -> None:
    """Training, validation and test rows stand in time order in the pooled datasets."""
    prepared = prepare(two_markets, DataConfig())
    train, validation, test = prepared.train, prepared.validation, prepared.test
    assert train.timestamps[-1] < prepared.cuts.train_end <= validation.timestamps[0]
    assert validation.timestamps[-1] < prepared.cuts.validation_end <= test.timestamps[0]


def test_order_of_markets_does_not_change_the_data_hash(two_markets: tuple[Market, Market]) -> None:
    """The data hash stands for the set of markets."""
    forward, backward = prepare(two_markets, DataConfig()), prepare(two_markets[::-1], DataConfig())
    assert forward.data_sha256 == backward.data_sha256


def test_no_market_is_an_error() -> None:
    """Training without a market says so."""
    with pytest.raises(TrainingError, match="at least one market"):
        prepare([], DataConfig())
