"""The 14 window features and the 6 static numbers of a bar: scale-free, causal, computed by TA-Lib.

Window features, float32 [T, 14] (C close, H high, L low, V volume; averages are TA-Lib's):

| # | name | formula | where undefined |
|---|---|---|---|
| 0 | log_return | ln(C[t] / C[t-1]) | |
| 1 | range | ln(H / L) | |
| 2 | close_location | (C - L) / (H - L) | 0.5 where H = L |
| 3 | volume_ratio | ln(V / SMA20(V)), not below ln(0.001) | 0 where SMA20(V) = 0 |
| 4-6 | ema_10_gap, ema_50_gap, ema_200_gap | C / EMA(C) - 1 | |
| 7 | rsi_14 | RSI14(C) / 100 | 0.5 in a market that never moved |
| 8, 9 | macd, macd_signal | MACD(12, 26, 9) / C and its signal line / C | |
| 10 | bollinger_percent_b | (C - lower) / (upper - lower), 20 bars, 2 deviations | 0.5 without width |
| 11 | bollinger_bandwidth | (upper - lower) / middle | |
| 12 | atr_14 | ATR14 / C | |
| 13 | funding_rate | the last settled rate | 0 before the first settlement |

Static numbers, float32 [T, 6], in [-5, 5], 0 in warm-up (r log returns, std over the bars named):

| # | name | formula |
|---|---|---|
| 0 | volatility_level | ln(std200(r)) - ln(0.003): 0.003 lies between hourly EURUSD and hourly crypto |
| 1 | volatility_regime | ln(std24(r) / std200(r)) |
| 2 | trend_regime | ln(C[t] / C[t-200]) / (std200(r) sqrt(200)): a z-score under a random walk |
| 3 | cost_to_range | 2 (taker_fee + slippage) / (ATR14 / C): a round trip in average bars |
| 4 | has_funding | 1 where funding is paid, else 0 |
| 5 | trades_weekends | 1 where the market never closes, else 0 |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic

import numpy as np
import talib
from numpy.typing import NDArray

from quantum_trader.envs import formulas
from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.context import STATIC_SIZE
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.formulas import STATIC_CLIP, Value

FEATURE_NAMES: tuple[str, ...] = (
    "log_return",
    "range",
    "close_location",
    "volume_ratio",
    "ema_10_gap",
    "ema_50_gap",
    "ema_200_gap",
    "rsi_14",
    "macd",
    "macd_signal",
    "bollinger_percent_b",
    "bollinger_bandwidth",
    "atr_14",
    "funding_rate",
)
FEATURE_SET_VERSION = "14.1"
"""Changes whenever a feature, its order or its formula does; a model says which one it was trained on."""
WARMUP_BARS = 199
"""Index of the first bar at which all 14 features are finite (EMA200 is the last to start)."""

TREND_BARS = 200
RETURN_UNIT = 1024.0
"""Deviations are taken of returns in 1/1024: TA-Lib takes variances below 1e-14 for zero."""
_LOG_TYPICAL_VOLATILITY = math.log(0.003)


@dataclass(frozen=True, kw_only=True)
class Indicators(Generic[Value]):
    """What the formulas need of a bar (floats) or of every bar (float64 [T]); NaN in each one's warm-up.

    Prices are in units of `price_unit`; `deviation_*` are of log returns.
    """

    high: Value
    low: Value
    close: Value
    previous_close: Value
    volume: Value
    funding: Value
    volume_average: Value
    ema_10: Value
    ema_50: Value
    ema_200: Value
    momentum: Value
    macd: Value
    macd_signal: Value
    band_upper: Value
    band_middle: Value
    band_lower: Value
    atr: Value
    deviation_24: Value
    deviation_200: Value
    growth_200: Value


@dataclass(frozen=True, kw_only=True)
class FeatureTable:
    """Everything computed from bars in one pass.

    Attributes:
        features: float32 [T, 14], NaN in warm-up.
        static: float32 [T, 6], never NaN.
        atr: float64 [T], ATR14 in price units, NaN in warm-up.
    """

    features: NDArray[np.float32]
    static: NDArray[np.float32]
    atr: Floats


def compute_features(bars: Bars) -> NDArray[np.float32]:
    """The 14 features of every bar, float32 [T, 14], NaN in warm-up; row t depends on rows <= t only."""
    return _as_float32(feature_values(batch_indicators(bars)))


def compute_static(bars: Bars, contract: FuturesContract) -> NDArray[np.float32]:
    """The 6 static numbers of every bar, float32 [T, 6], never NaN; row t depends on rows <= t only."""
    return _static_rows(batch_indicators(bars), contract)


def compute_table(bars: Bars, contract: FuturesContract) -> FeatureTable:
    """Features, static numbers and ATR together, from one pass over the bars."""
    indicators = batch_indicators(bars)
    return FeatureTable(
        features=_as_float32(feature_values(indicators)),
        static=_static_rows(indicators, contract),
        atr=indicators.atr * _unit_of(bars),
    )


def price_unit(first_close: float) -> float:
    """The power of two at or below `first_close`.

    TA-Lib compares with absolute epsilons (a variance below 1e-14 is zero), which would flatten a coin that
    costs 1e-5. Dividing by a power of two changes no digit of any result, only where that epsilon lies.
    """
    return math.ldexp(1.0, math.frexp(first_close)[1] - 1)


def feature_values(bar: Indicators[Value]) -> tuple[Value, ...]:
    """The 14 features in the order of `FEATURE_NAMES`, float64."""
    return (
        formulas.ln(bar.close / bar.previous_close),
        formulas.ln(bar.high / bar.low),
        formulas.close_location(bar.high, bar.low, bar.close),
        formulas.volume_ratio(bar.volume, bar.volume_average),
        formulas.relative_gap(bar.close, bar.ema_10),
        formulas.relative_gap(bar.close, bar.ema_50),
        formulas.relative_gap(bar.close, bar.ema_200),
        # Chande's momentum is 2 RSI - 100, with 0 instead of RSI's 0 ("all losses") for a flat market.
        bar.momentum / 200.0 + 0.5,
        bar.macd / bar.close,
        bar.macd_signal / bar.close,
        formulas.percent_b(bar.close, bar.band_upper, bar.band_middle, bar.band_lower),
        (bar.band_upper - bar.band_lower) / bar.band_middle,
        bar.atr / bar.close,
        bar.funding,
    )


def static_values(bar: Indicators[Value], contract: FuturesContract) -> tuple[Value, ...]:
    """The four static numbers that change from bar to bar, in the order of `STATIC_NAMES`, float64."""
    round_trip = 2.0 * (contract.taker_fee + contract.slippage)
    spread_200 = bar.deviation_200 * math.sqrt(TREND_BARS)
    raw = (
        formulas.ln(formulas.clip(bar.deviation_200, 1e-9, math.inf)) - _LOG_TYPICAL_VOLATILITY,
        formulas.ln(
            formulas.clip(formulas.ratio_or(bar.deviation_24, bar.deviation_200, 1.0), 1e-9, math.inf)
        ),
        formulas.ratio_or(formulas.ln(bar.growth_200), spread_200, 0.0),
        formulas.ratio_or(round_trip * bar.close, bar.atr, STATIC_CLIP),
    )
    return tuple(formulas.zero_if_unknown(formulas.clip(value, -STATIC_CLIP, STATIC_CLIP)) for value in raw)


def contract_values(contract: FuturesContract) -> tuple[float, float]:
    """The two static numbers that follow from the contract alone: has_funding, trades_weekends."""
    return float(contract.has_funding), float(contract.session == "24/7")


def batch_indicators(bars: Bars) -> Indicators[Floats]:
    """All indicators over all bars, float64 [T] each."""
    unit = _unit_of(bars)
    high, low, close = bars.high / unit, bars.low / unit, bars.close / unit
    previous = np.concatenate([[np.nan], close[:-1]])
    returns = np.log(close / previous) * RETURN_UNIT
    macd, macd_signal, _ = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    return Indicators(
        high=high,
        low=low,
        close=close,
        previous_close=previous,
        volume=bars.volume,
        funding=last_settled(bars.funding_rate),
        volume_average=talib.SMA(np.ascontiguousarray(bars.volume), 20),
        ema_10=talib.EMA(close, 10),
        ema_50=talib.EMA(close, 50),
        ema_200=talib.EMA(close, 200),
        momentum=talib.CMO(close, 14),
        macd=macd,
        macd_signal=macd_signal,
        band_upper=upper,
        band_middle=middle,
        band_lower=lower,
        atr=talib.ATR(high, low, close, 14),
        deviation_24=talib.STDDEV(returns, 24, 1.0) / RETURN_UNIT,
        deviation_200=talib.STDDEV(returns, TREND_BARS, 1.0) / RETURN_UNIT,
        growth_200=talib.ROCR(close, TREND_BARS),
    )


def last_settled(rate: Floats) -> Floats:
    """float64 [T]: the last rate that is not NaN, 0 before the first."""
    settled = np.where(np.isnan(rate), -1, np.arange(len(rate)))
    last = np.maximum.accumulate(settled)
    return np.where(last < 0, 0.0, rate[np.maximum(last, 0)])


def _unit_of(bars: Bars) -> float:
    return price_unit(float(bars.close[0])) if len(bars) else 1.0


def _as_float32(values: tuple[Floats, ...]) -> NDArray[np.float32]:
    return np.stack([value.astype(np.float32) for value in values], axis=1)


def _static_rows(indicators: Indicators[Floats], contract: FuturesContract) -> NDArray[np.float32]:
    rows = np.empty((len(indicators.close), STATIC_SIZE), dtype=np.float32)
    changing = static_values(indicators, contract)
    for column, value in enumerate(changing):
        rows[:, column] = value
    rows[:, len(changing) :] = contract_values(contract)
    return rows
