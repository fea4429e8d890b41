"""`as_bar`: whatever a bot calls a bar, checked and turned into a `Bar`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import pandas as pd

from quantum_trader.envs.bars import Bar, epoch_ms
from quantum_trader.envs.errors import DataError

_PRICES = ("open", "high", "low", "close")
_LAST_MS = 7_258_118_400_000


def as_bar(value: Bar | Mapping[str, Any] | pd.Series[Any], *, symbol: str) -> Bar:
    """A validated `Bar` from a `Bar`, a mapping or a DataFrame row.

    Args:
        value: fields timestamp (bar OPEN in milliseconds since the epoch, or what `pd.Timestamp` reads; UTC),
            open, high, low, close, volume and optionally funding_rate.
        symbol: named in the message.

    Raises:
        DataError: a field is missing, not a number, or the bar contradicts itself.
    """
    bar = value if isinstance(value, Bar) else _from_mapping(value, symbol)
    fault = _fault(bar)
    if fault:
        raise DataError(f"{symbol}: the bar at {_moment(bar)} has {fault}; send closed, complete bars only.")
    return bar


def _from_mapping(value: Mapping[str, Any] | pd.Series[Any], symbol: str) -> Bar:
    missing = [name for name in ("timestamp", *_PRICES, "volume") if name not in value]
    if missing:
        raise DataError(
            f"{symbol}: the bar lacks {missing[0]!r}; expected timestamp, open, high, low, close, volume."
        )
    try:
        numbers = {name: float(value[name]) for name in (*_PRICES, "volume")}
        funding = float(value["funding_rate"]) if "funding_rate" in value else math.nan
        return Bar(timestamp=_epoch(value["timestamp"]), funding_rate=funding, **numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{symbol}: the bar holds a value that cannot be read ({error}); send numbers."
        ) from error


def _epoch(value: Any) -> int:
    if isinstance(value, numbers.Real):
        return int(float(value))
    return epoch_ms(pd.Timestamp(value))


def _fault(bar: Bar) -> str | None:
    if not 0 <= bar.timestamp < _LAST_MS:
        return "a timestamp outside the years 1970 to 2200"
    prices = [getattr(bar, name) for name in _PRICES]
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return "a price that is not a positive number"
    if not (math.isfinite(bar.volume) and bar.volume >= 0):
        return "a volume that is not a number >= 0"
    if bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
        return "a high or low that its open and close contradict"
    if math.isinf(bar.funding_rate):
        return "an infinite funding rate"
    return None


def _moment(bar: Bar) -> str:
    if not 0 <= bar.timestamp < _LAST_MS:
        return f"{bar.timestamp} ms"
    return pd.Timestamp(bar.timestamp, unit="ms", tz="UTC").isoformat()
