"""The 14 features and 6 static numbers."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import STATIC_NAMES
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.features import (
    FEATURE_NAMES,
    WARMUP_BARS,
    compute_features,
    compute_static,
    compute_table,
    last_settled,
)
from quantum_trader.envs.presets import preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

BTC = preset("binance-btc")


def column(table: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    names = FEATURE_NAMES if table.shape[1] == len(FEATURE_NAMES) else STATIC_NAMES
    return table[:, names.index(name)]


def scaled(bars: Bars, price: float, volume: float = 1.0) -> Bars:
    prices = ("open", "high", "low", "close", "mark_high", "mark_low")
    return replace(
        bars, volume=bars.volume * volume, **{name: getattr(bars, name) * price for name in prices}
    )


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_bars(SyntheticConfig(bars=900, seed=5))


def test_all_features_start_at_the_stated_bar(bars: Bars) -> None:
    """The first row without NaN is WARMUP_BARS, and none follows it."""
    known = np.isfinite(compute_features(bars)).all(axis=1)
    assert np.flatnonzero(known)[0] == WARMUP_BARS
    assert known[WARMUP_BARS:].all()


def test_formulas_against_plain_numpy(bars: Bars) -> None:
    """Each feature equals its formula written out from the definition at one bar."""
    t = 700
    table = compute_features(bars)[t].astype(np.float64)
    close, high, low, volume = bars.close, bars.high, bars.low, bars.volume
    last = close[t - 19 : t + 1]
    expected = {
        "log_return": np.log(close[t] / close[t - 1]),
        "range": np.log(high[t] / low[t]),
        "close_location": (close[t] - low[t]) / (high[t] - low[t]),
        "volume_ratio": np.log(volume[t] / volume[t - 19 : t + 1].mean()),
        "ema_10_gap": close[t] / _ema(close, 10)[t] - 1,
        "ema_50_gap": close[t] / _ema(close, 50)[t] - 1,
        "ema_200_gap": close[t] / _ema(close, 200)[t] - 1,
        "rsi_14": _rsi(close, 14)[t],
        "macd": _macd(close)[0][t] / close[t],
        "macd_signal": _macd(close)[1][t] / close[t],
        "bollinger_percent_b": (close[t] - (last.mean() - 2 * last.std())) / (4 * last.std()),
        "bollinger_bandwidth": 4 * last.std() / last.mean(),
        "atr_14": _atr(bars, 14)[t] / close[t],
        "funding_rate": bars.funding_rate[: t + 1][~np.isnan(bars.funding_rate[: t + 1])][-1],
    }
    for value, (name, wanted) in zip(table, expected.items(), strict=True):
        assert value == pytest.approx(wanted, rel=2e-4, abs=1e-6), name


def test_static_formulas_against_plain_numpy(bars: Bars) -> None:
    """Each static number equals its formula written out from the definition at one bar."""
    t = 700
    returns = np.diff(np.log(bars.close[: t + 1]))
    deviation = returns[-200:].std()
    atr = _atr(bars, 14)[t] / bars.close[t]
    expected = (
        np.log(deviation / 0.003),
        np.log(returns[-24:].std() / deviation),
        np.log(bars.close[t] / bars.close[t - 200]) / (deviation * np.sqrt(200)),
        2 * (0.0005 + 0.0001) / atr,
        1.0,
        1.0,
    )
    np.testing.assert_allclose(compute_static(bars, BTC)[t], expected, rtol=1e-4)


def test_static_numbers_are_bounded_and_never_nan(bars: Bars) -> None:
    """Within [-5, 5], 0 in warm-up, contract facts from the first bar on."""
    static = compute_static(bars, BTC)
    assert np.isfinite(static).all()
    assert np.abs(static).max() <= 5.0
    np.testing.assert_array_equal(static[:14, :4], 0.0)
    np.testing.assert_array_equal(static[:200, :3], 0.0)
    dear = compute_static(
        bars, FuturesContract(name="dear", taker_fee=0.5, has_funding=False, session="weekdays")
    )
    np.testing.assert_array_equal(dear[14:, 3], 5.0)
    np.testing.assert_array_equal(dear[:, 4:], 0.0)


def test_table_is_the_same_as_its_parts(bars: Bars) -> None:
    """One pass gives what the single functions give."""
    table = compute_table(bars, BTC)
    np.testing.assert_array_equal(table.features, compute_features(bars))
    np.testing.assert_array_equal(table.static, compute_static(bars, BTC))
    np.testing.assert_allclose(table.atr[14:], _atr(bars, 14)[14:], rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-8, 1e-3, 1000.0, 1e9])
def test_features_are_scale_free(bars: Bars, factor: float) -> None:
    """Another price or volume unit changes nothing beyond rounding: no level enters."""
    other = compute_table(scaled(bars, factor, 1.0 / factor), BTC)
    plain = compute_table(bars, BTC)
    np.testing.assert_allclose(other.features, plain.features, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(other.static, plain.static, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("price", [1e-7, 1.13, 64_000.0])
def test_a_flat_market_is_neutral(price: float) -> None:
    """No division by zero, no NaN after warm-up and no warning where neither price nor volume moves."""
    count = 260
    flat = np.full(count, price)
    bars = synthetic_bars(SyntheticConfig(bars=count, funding=False))
    still = {
        f.name: flat
        for f in fields(bars)
        if f.name in ("open", "high", "low", "close", "mark_high", "mark_low")
    }
    bars = replace(bars, volume=np.zeros(count), **still)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features, static = compute_features(bars), compute_static(bars, BTC)
    neutral = dict.fromkeys(FEATURE_NAMES, 0.0) | {
        "close_location": 0.5,
        "rsi_14": 0.5,
        "bollinger_percent_b": 0.5,
    }
    np.testing.assert_allclose(
        features[WARMUP_BARS:], [list(neutral.values())] * (count - WARMUP_BARS), atol=1e-6
    )
    assert np.isfinite(static).all()


def test_silent_bars_among_traded_ones_stay_finite(bars: Bars) -> None:
    """Runs of zero volume and of bars without range give bounded numbers, no warning."""
    rng = np.random.default_rng(0)
    silent = rng.random(len(bars)) < 0.3
    silent[300:360] = True
    volume = np.where(silent, 0.0, bars.volume * 1e6)
    still = np.where(silent, bars.close, 0.0)
    quiet = replace(
        bars,
        volume=volume,
        open=np.where(silent, still, bars.open),
        high=np.where(silent, still, bars.high),
        low=np.where(silent, still, bars.low),
    )
    features = compute_features(quiet)
    assert np.isfinite(features[WARMUP_BARS:]).all()
    assert column(features, "volume_ratio")[WARMUP_BARS:].min() >= np.float32(np.log(1e-3))
    np.testing.assert_array_equal(column(features, "close_location")[silent], 0.5)


def test_funding_is_the_last_settled_rate() -> None:
    """0 until the first settlement, then held until the next."""
    rate = np.array([np.nan, np.nan, 0.1, np.nan, -0.2, np.nan])
    np.testing.assert_array_equal(last_settled(rate), [0.0, 0.0, 0.1, 0.1, -0.2, -0.2])


@pytest.mark.parametrize("count", [0, 1, 2, 15, 199, 200, 201])
def test_short_histories_are_allowed(bars: Bars, count: int) -> None:
    """Any number of bars gives as many rows, equal to the first rows of a longer history."""
    table, whole = compute_table(bars[:count], BTC), compute_table(bars, BTC)
    np.testing.assert_array_equal(table.features, whole.features[:count])
    np.testing.assert_array_equal(table.static, whole.static[:count])


def test_older_history_is_forgotten() -> None:
    """800 bars after a later start, no feature is off by more than 0.01 of its deviation."""
    bars = sample_bars()[:2_000]
    early, late = compute_features(bars)[1_000:], compute_features(bars[200:])[800:]
    spread = early.std(axis=0) + 1e-9
    assert (np.abs(early - late).max(axis=0) / spread).max() < 0.01


def _ema(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Seeded with the mean of the first `length` values, as TA-Lib does."""
    result = np.full(len(values), np.nan)
    start = int(np.flatnonzero(np.isfinite(values))[0])
    result[start + length - 1] = values[start : start + length].mean()
    for row in range(start + length, len(values)):
        result[row] = result[row - 1] + (values[row] - result[row - 1]) * 2 / (length + 1)
    return result


def _macd(close: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    line = _ema(close, 12) - _ema(close, 26)
    return line, _ema(line, 9)


def _wilder(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    result = np.full(len(values), np.nan)
    result[length] = values[1 : length + 1].mean()
    for row in range(length + 1, len(values)):
        result[row] = result[row - 1] + (values[row] - result[row - 1]) / length
    return result


def _rsi(close: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    change = np.diff(close, prepend=close[0])
    gain, loss = _wilder(np.maximum(change, 0), length), _wilder(np.maximum(-change, 0), length)
    return gain / (gain + loss)


def _atr(bars: Bars, length: int) -> NDArray[np.float64]:
    previous = np.concatenate([[bars.close[0]], bars.close[:-1]])
    true_range = np.maximum(bars.high, previous) - np.minimum(bars.low, previous)
    return _wilder(true_range, length)
