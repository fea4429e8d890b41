"""`FeatureStream`: the features of one closed bar at a time, the same bits as the batch gives."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from talib import stream as talib_stream

from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.features import (
    RETURN_UNIT,
    TREND_BARS,
    FeatureTable,
    Indicators,
    compute_table,
    contract_values,
    feature_values,
    price_unit,
    static_values,
)
from quantum_trader.envs.formulas import ln

_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class FeatureRow:
    """What one bar gives.

    Attributes:
        features: float32 [14], raw, NaN in warm-up.
        static: float32 [6], never NaN.
        atr: ATR14 in price units, NaN in warm-up.
    """

    features: NDArray[np.float32]
    static: NDArray[np.float32]
    atr: float


class FeatureStream:
    """Features bar by bar in constant time, bit-identical to `compute_table` over the same history.

    TA-Lib's stateful handles cannot be pickled: in another process rebuild the stream with `from_bars`.
    Averages remember: a stream started late differs from one started early by what its first average still
    weighs (in EMA200, 5 % after 500 bars and 0.03 % after 1,000).
    """

    def __init__(self, contract: FuturesContract, step_ms: int) -> None:
        """Start without history.

        Args:
            contract: enters the static numbers.
            step_ms: nominal length of a bar in milliseconds.
        """
        self.contract = contract
        self.step_ms = step_ms
        self._handles = _Handles()
        self._contract_values = contract_values(contract)
        self._unit = _NAN
        self._previous_close = _NAN
        self._funding = 0.0
        self._last_timestamp: int | None = None

    @classmethod
    def from_bars(cls, contract: FuturesContract, bars: Bars) -> tuple[FeatureStream, FeatureTable]:
        """A stream that has seen `bars`, and their features, in one pass each.

        Args:
            contract: enters the static numbers.
            bars: T closed bars, T >= 1.
        """
        stream = cls(contract, bars.step_ms)
        unit = price_unit(float(bars.close[0]))
        high, low, close = bars.high / unit, bars.low / unit, bars.close / unit
        returns = np.log(close[1:] / close[:-1]) * RETURN_UNIT
        stream._handles.open(high, low, close, returns, np.ascontiguousarray(bars.volume))
        stream._unit, stream._previous_close = unit, float(close[-1])
        stream._last_timestamp = int(bars.timestamp[-1])
        settled = bars.funding_rate[~np.isnan(bars.funding_rate)]
        stream._funding = float(settled[-1]) if len(settled) else 0.0
        return stream, compute_table(bars, contract)

    def update(self, bar: Bar) -> FeatureRow:
        """Take in the next closed bar.

        Raises:
            DataError: the bar cannot be right or is not later than the last; the stream is left as it was.
        """
        self._check(bar)
        indicators = self._indicators(bar)
        changing = static_values(indicators, self.contract)
        return FeatureRow(
            features=np.array(feature_values(indicators), dtype=np.float32),
            static=np.array((*changing, *self._contract_values), dtype=np.float32),
            atr=indicators.atr * self._unit,
        )

    def copy(self) -> FeatureStream:
        """An independent stream at the same bar."""
        twin = copy.copy(self)
        twin._handles = self._handles.copy()
        return twin

    def _indicators(self, bar: Bar) -> Indicators[float]:
        if self._last_timestamp is None:
            self._unit = price_unit(bar.close)
        high, low, close = (float(price) / self._unit for price in (bar.high, bar.low, bar.close))
        volume, previous = float(bar.volume), self._previous_close
        scaled_return = ln(close / previous) * RETURN_UNIT
        handles = self._handles
        macd, macd_signal, _ = handles.macd.update(close)
        upper, middle, lower = handles.bands.update(close)
        if not math.isnan(bar.funding_rate):
            self._funding = float(bar.funding_rate)
        self._previous_close, self._last_timestamp = close, bar.timestamp
        return Indicators(
            high=high,
            low=low,
            close=close,
            previous_close=previous,
            volume=volume,
            funding=self._funding,
            volume_average=handles.volume_average.update(volume),
            ema_10=handles.ema_10.update(close),
            ema_50=handles.ema_50.update(close),
            ema_200=handles.ema_200.update(close),
            momentum=handles.momentum.update(close),
            macd=macd,
            macd_signal=macd_signal,
            band_upper=upper,
            band_middle=middle,
            band_lower=lower,
            atr=handles.atr.update(high, low, close),
            deviation_24=handles.deviation_24.update(scaled_return) / RETURN_UNIT,
            deviation_200=handles.deviation_200.update(scaled_return) / RETURN_UNIT,
            growth_200=handles.growth_200.update(close),
        )

    def _check(self, bar: Bar) -> None:
        # Comparisons with NaN are false, so these also refuse NaN.
        sound = 0.0 < bar.low <= bar.open <= bar.high < math.inf and bar.low <= bar.close <= bar.high
        if not (sound and 0.0 <= bar.volume < math.inf) or math.isinf(bar.funding_rate):
            raise DataError(
                f"Bar at {_moment(bar.timestamp)}: expected finite prices with high >= max(open, close), "
                f"0 < low <= min(open, close) and volume >= 0, found {bar}; correct the feed."
            )
        if self._last_timestamp is not None and bar.timestamp <= self._last_timestamp:
            raise DataError(
                f"Bar at {_moment(bar.timestamp)}: expected one after {_moment(self._last_timestamp)}, "
                "the last bar taken in; send each closed bar once and in order."
            )


class _Indicator:
    """One TA-Lib handle that opens itself once it has seen enough bars; NaN until then."""

    def __init__(self, kind: Callable[..., Any], lookback: int, outputs: int, *parameters: float) -> None:
        self._kind = kind
        self._lookback = lookback
        self._parameters = parameters
        self._unknown: Any = _NAN if outputs == 1 else (_NAN,) * outputs
        self._handle: Any = None
        self._waiting: list[tuple[float, ...]] = []

    def open(self, *series: NDArray[np.float64]) -> None:
        """Take in a whole history at once."""
        if len(series[0]) > self._lookback:
            self._handle = self._kind(*series, *self._parameters)
        else:
            self._waiting = list(zip(*(column.tolist() for column in series), strict=True))

    def update(self, *values: float) -> Any:
        if self._handle is not None:
            return self._handle.update(*values)
        if values[0] != values[0]:  # a leading NaN, the return of the first bar, is no history
            return self._unknown
        self._waiting.append(values)
        if len(self._waiting) <= self._lookback:
            return self._unknown
        columns = [np.array(column) for column in zip(*self._waiting, strict=True)]
        self._handle, self._waiting = self._kind(*columns, *self._parameters), []
        return self._handle.value

    def copy(self) -> _Indicator:
        twin = copy.copy(self)
        twin._waiting = list(self._waiting)
        twin._handle = None if self._handle is None else self._handle.copy()
        return twin


class _Handles:
    """Every indicator of `features.batch_indicators`, with the same parameters."""

    def __init__(self) -> None:
        self.volume_average = _Indicator(talib_stream.SMA, 19, 1, 20)
        self.ema_10 = _Indicator(talib_stream.EMA, 9, 1, 10)
        self.ema_50 = _Indicator(talib_stream.EMA, 49, 1, 50)
        self.ema_200 = _Indicator(talib_stream.EMA, 199, 1, 200)
        self.momentum = _Indicator(talib_stream.CMO, 14, 1, 14)
        self.macd = _Indicator(talib_stream.MACD, 33, 3, 12, 26, 9)
        self.bands = _Indicator(talib_stream.BBANDS, 19, 3, 20, 2.0, 2.0)
        self.atr = _Indicator(talib_stream.ATR, 14, 1, 14)
        self.deviation_24 = _Indicator(talib_stream.STDDEV, 23, 1, 24, 1.0)
        self.deviation_200 = _Indicator(talib_stream.STDDEV, TREND_BARS - 1, 1, TREND_BARS, 1.0)
        self.growth_200 = _Indicator(talib_stream.ROCR, TREND_BARS, 1, TREND_BARS)

    def open(self, high: Any, low: Any, close: Any, returns: Any, volume: Any) -> None:
        for indicator in (self.ema_10, self.ema_50, self.ema_200, self.momentum, self.macd, self.bands):
            indicator.open(close)
        self.growth_200.open(close)
        self.atr.open(high, low, close)
        self.deviation_24.open(returns)
        self.deviation_200.open(returns)
        self.volume_average.open(volume)

    def copy(self) -> _Handles:
        twin = _Handles()
        for name, indicator in vars(self).items():
            setattr(twin, name, indicator.copy())
        return twin


def _moment(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
