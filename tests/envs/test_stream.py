"""Streaming features are the batch's features."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.features import compute_table
from quantum_trader.envs.presets import preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.stream import FeatureRow, FeatureStream
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

BTC = preset("binance-btc")
BARS = synthetic_bars(SyntheticConfig(bars=700, seed=11))


def same_bits(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Equal floats bit for bit; any NaN equals any NaN."""
    unknown = np.isnan(first) & np.isnan(second)
    return bool((unknown | (first.view(np.int32) == np.ascontiguousarray(second).view(np.int32))).all())


def feed(stream: FeatureStream, bars: Bars, start: int = 0) -> list[FeatureRow]:
    return [stream.update(bars.bar(row)) for row in range(start, len(bars))]


def assert_equals_batch(rows: list[FeatureRow], bars: Bars, start: int = 0) -> None:
    table = compute_table(bars, BTC)
    assert same_bits(np.array([row.features for row in rows]), table.features[start:])
    assert same_bits(np.array([row.static for row in rows]), table.static[start:])
    np.testing.assert_array_equal([row.atr for row in rows], table.atr[start:])


@pytest.mark.parametrize("source", ["synthetic", "sample"])
def test_streaming_equals_batch_bit_for_bit(source: str) -> None:
    """Every feature, static number and ATR from bar 0 on, through warm-up, funding and flat bars."""
    bars = BARS if source == "synthetic" else sample_bars()[:1_500]
    assert_equals_batch(feed(FeatureStream(BTC, bars.step_ms), bars), bars)


@pytest.mark.parametrize("count", [1, 2, 10, 14, 15, 20, 33, 34, 50, 199, 200, 201, 202, 250, 500])
def test_a_stream_reopened_from_history_goes_on_alike(count: int) -> None:
    """`from_bars` over any length gives the batch rows so far and, after it, the batch rows to come."""
    stream, table = FeatureStream.from_bars(BTC, BARS[:count])
    whole = compute_table(BARS, BTC)
    assert same_bits(table.features, whole.features[:count])
    assert_equals_batch(feed(stream, BARS, start=count), BARS, start=count)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-6, 1e5),
    st.floats(1e-4, 0.05),
    st.floats(0.0, 0.6),
    st.integers(1, 320),
)
def test_streaming_equals_batch_on_any_market(
    seed: int, price: float, volatility: float, silent: float, opened: int
) -> None:
    """Any price level, volatility and share of silent bars, opened after any number of bars."""
    bars = synthetic_bars(
        SyntheticConfig(bars=330, seed=seed, start_price=price, volatility=volatility, jump_probability=0.05)
    )
    still = np.random.default_rng(seed).random(len(bars)) < silent
    bars = replace(
        bars,
        open=np.where(still, bars.close, bars.open),
        high=np.where(still, bars.close, bars.high),
        low=np.where(still, bars.close, bars.low),
        volume=np.where(still, 0.0, bars.volume),
    )
    stream, _ = FeatureStream.from_bars(BTC, bars[:opened])
    assert_equals_batch(feed(stream, bars, start=opened), bars, start=opened)


@pytest.mark.parametrize("count", [5, 300])
def test_a_copy_lives_on_its_own(count: int) -> None:
    """Feeding a copy, shallow or deep, leaves the original where it was; both then agree with the batch."""
    stream, _ = FeatureStream.from_bars(BTC, BARS[:count])
    for twin in (stream.copy(), copy.deepcopy(stream)):
        assert_equals_batch(feed(twin, BARS, start=count), BARS, start=count)
    assert_equals_batch(feed(stream, BARS, start=count), BARS, start=count)


FAULTS = {
    "nan close": {"close": np.nan},
    "nan open": {"open": np.nan},
    "infinite high": {"high": np.inf},
    "zero low": {"low": 0.0},
    "negative close": {"close": -1.0, "low": -2.0},
    "high below close": {"high": 1e-3},
    "nan volume": {"volume": np.nan},
    "negative volume": {"volume": -1.0},
    "infinite funding": {"funding_rate": np.inf},
    "the last bar again": {"timestamp": int(BARS.timestamp[299])},
    "an older bar": {"timestamp": int(BARS.timestamp[100])},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_bar_is_refused_and_changes_nothing(fault: str) -> None:
    """After the error the stream goes on as if the bar had never come."""
    stream, _ = FeatureStream.from_bars(BTC, BARS[:300])
    with pytest.raises(DataError, match=r"Bar at 20\d\d-.*; .*\.$"):
        stream.update(replace(BARS.bar(300), **FAULTS[fault]))
    assert_equals_batch(feed(stream, BARS, start=300), BARS, start=300)
