"""`Market`: everything about one symbol, shared and never changed."""

from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from quantum_trader.envs.context import CONTEXT_SIZE, STATIC_SIZE, calendar
from quantum_trader.envs.features import FEATURE_NAMES, compute_table
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.scaler import REFERENCE_SCALER, fit_scaler
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.windows import WINDOW, find_breaks, gather, usable_ends

ARRAYS = ("features", "context", "table", "usable", "breaks", "atr")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.build(synthetic_bars(SyntheticConfig(bars=800, seed=4)), preset("binance-btc"))


def test_a_market_holds_what_the_functions_compute(market: Market) -> None:
    """Features, context, scaled table, usable rows, breaks and ATR, row for row."""
    computed = compute_table(market.bars, market.contract)
    np.testing.assert_array_equal(market.features, computed.features)
    np.testing.assert_array_equal(market.atr, computed.atr)
    np.testing.assert_array_equal(market.context[:, :STATIC_SIZE], computed.static)
    np.testing.assert_array_equal(
        market.context[:, STATIC_SIZE : STATIC_SIZE + 4],
        calendar(market.bars.timestamp + market.bars.step_ms),
    )
    np.testing.assert_array_equal(market.table, REFERENCE_SCALER.transform(computed.features))
    np.testing.assert_array_equal(market.usable, usable_ends(market.bars, computed.features, market.contract))
    np.testing.assert_array_equal(market.breaks, find_breaks(market.bars, market.contract))
    assert market.features.shape == (800, len(FEATURE_NAMES))
    assert market.context.shape == (800, CONTEXT_SIZE)
    assert (market.features.dtype, market.table.dtype, market.atr.dtype) == (
        np.float32,
        np.float32,
        np.float64,
    )


def test_nobody_can_change_a_market(market: Market) -> None:
    """All arrays are read-only, also after pickling, copying and slicing; the caller's own bars are not."""
    bars = synthetic_bars(SyntheticConfig(bars=300))
    built = Market.build(bars, preset("binance-btc"))
    assert bars.close.flags.writeable
    twins = (built, pickle.loads(pickle.dumps(market)), copy.deepcopy(market), market.rows(5, 90))
    for twin in twins:
        for array in (*(getattr(twin, name) for name in ARRAYS), twin.bars.close, twin.bars.timestamp):
            assert not array.flags.writeable


def test_copies_are_equal(market: Market) -> None:
    """Pickling (processes) and deep copies keep every value."""
    for twin in (pickle.loads(pickle.dumps(market)), copy.deepcopy(market)):
        assert twin.bars.digest == market.bars.digest
        assert (twin.contract, twin.scaler, len(twin)) == (market.contract, market.scaler, len(market))
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(twin, name), getattr(market, name))


def test_another_scaler_shares_the_rest(market: Market) -> None:
    """Only the scaled table is new."""
    scaler = fit_scaler([market.features[:500]])
    other = market.with_scaler(scaler)
    np.testing.assert_array_equal(other.table, scaler.transform(market.features))
    for name in set(ARRAYS) - {"table"}:
        assert getattr(other, name) is getattr(market, name)
    assert other.bars is market.bars


def test_rows_are_views_that_remember_the_past(market: Market) -> None:
    """Features of a part are those of the whole; windows that start before it are not usable."""
    part = market.rows(300, 700)
    assert len(part) == len(part.bars) == 400
    for name in ("features", "context", "table", "atr"):
        assert np.shares_memory(getattr(part, name), getattr(market, name))
        np.testing.assert_array_equal(getattr(part, name), getattr(market, name)[300:700])
    assert part.bars.timestamp[0] == market.bars.timestamp[300]
    assert not part.usable[: WINDOW - 1].any()
    np.testing.assert_array_equal(part.usable[WINDOW - 1 :], market.usable[300 + WINDOW - 1 : 700])
    ends = np.flatnonzero(part.usable)
    np.testing.assert_array_equal(gather(part.table, ends), gather(market.table, ends + 300))


def test_the_sample_is_built_once() -> None:
    """6,225 bars of EURUSD under the currency preset, the same object on every call."""
    market = sample_market()
    assert market is sample_market()
    assert (market.symbol, len(market), market.contract.name) == ("EURUSD", 6_225, "fx-eurusd")
    # 199 warm-up rows and 59 more for the first window; the break costs another 59.
    assert market.usable.sum() == 6_225 - 199 - 59 - 59


def test_a_market_stays_small() -> None:
    """15 symbols of 21,888 bars fit well below a gigabyte: under 10 MB each, windows included."""
    bars = synthetic_bars(SyntheticConfig(bars=21_888))
    tracemalloc.start()
    market = Market.build(bars, preset("binance-btc"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(market) == 21_888
    assert size < 10e6
