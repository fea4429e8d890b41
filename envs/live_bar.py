"""`as_bar`: whatever a bot calls a bar, checked and turned into a `Bar`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bar, epoch_ms
from quantum_trader.envs.errors import DataError

TIME_FIELDS = ("timestamp", "date")
"""Where rows and frames have the open of a bar, the first found counting."""
_PRICES = ("open", "high", "low", "close")
LAST_MS = 7_258_118_400_000
"""No bar opens at or after this moment, the beginning of 2200."""
LARGEST_PRICE = 1e18
"""No price lies above it or below its reciprocal: ratios stay within float32, and indicators finite."""
LARGEST_VOLUME = 1e30
LARGEST_FUNDING = 1.0
"""A settlement never takes more than the position is worth."""


def as_bar(value: Bar | Mapping[str, Any] | pd.Series[Any], *, symbol: str) -> Bar:
    """A validated `Bar` from a `Bar`, a mapping or a DataFrame row.

    Args:
        value: fields timestamp or date (bar OPEN in milliseconds since the epoch, or what `pd.Timestamp`
            reads; UTC), open, high, low, close, volume and optionally funding_rate (None, NaN or NA: nothing
            settled). A row of a frame with a datetime index has its time in its name.
        symbol: named in the message.

    Raises:
        DataError: a field is missing, not a number, or the bar contradicts itself.
    """
    if isinstance(value, Bar):
        bar = value if _is_plain(value) else _from_mapping(vars(value), symbol)
    else:
        bar = _from_mapping(value, symbol)
    fault = _fault(bar)
    if fault:
        raise DataError(f"{symbol}: the bar at {_moment(bar)} has {fault}; send closed, complete bars only.")
    return bar


def _from_mapping(value: Mapping[str, Any] | pd.Series[Any], symbol: str) -> Bar:
    if not isinstance(value, (Mapping, pd.Series)):
        raise DataError(
            f"{symbol}: expected a Bar, mapping or row of a frame, found {type(value).__name__}; send that."
        )
    try:
        known = {"timestamp": _opened(value)} | {name: value.get(name) for name in (*_PRICES, "volume")}
        missing = [name for name, found in known.items() if _is_missing(found)]
        if missing:
            raise DataError(
                f"{symbol}: the bar lacks {missing[0]!r}; expected timestamp, open, high, low, close, volume."
            )
        funding: Any = value.get("funding_rate")
        return Bar(
            timestamp=_epoch(known.pop("timestamp")),
            funding_rate=math.nan if _is_missing(funding) else float(funding),
            **{name: float(found) for name, found in known.items()},
        )
    except DataError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # The message may quote the value, and that may be a megabyte of text.
        raise DataError(
            f"{symbol}: the bar holds a value that cannot be read ({str(error)[:200]}); send numbers."
        ) from error


def _is_plain(bar: Bar) -> bool:
    """Whether every field is a number, as its annotation says; feeds leave None or text in some."""
    values = (*(getattr(bar, name) for name in _PRICES), bar.volume, bar.funding_rate)
    return isinstance(bar.timestamp, int) and all(isinstance(value, (float, int)) for value in values)


def opened_ms(value: Bar | Mapping[str, Any] | pd.Series[Any]) -> int:
    """Open of a bar in milliseconds since the epoch, read as `as_bar` reads it but not checked.

    Raises:
        Exception: of any kind, where it cannot be read.
    """
    return _epoch(value.timestamp if isinstance(value, Bar) else _opened(value))


def _opened(value: Mapping[str, Any] | pd.Series[Any]) -> Any:
    """When the bar opened, in whatever form; None where it does not say."""
    for field in TIME_FIELDS:
        if field in value:
            return value[field]
    name = getattr(value, "name", None)
    return name if isinstance(name, (datetime, np.datetime64)) else None


def _is_missing(found: Any) -> bool:
    return found is None or found is pd.NA or found is pd.NaT


def _epoch(value: Any) -> int:
    if isinstance(value, numbers.Real):
        return int(float(value))
    return epoch_ms(pd.Timestamp(value))


def _fault(bar: Bar) -> str | None:
    if not 0 <= bar.timestamp < LAST_MS:
        return "a timestamp outside the years 1970 to 2200"
    prices = [getattr(bar, name) for name in _PRICES]
    if not all(math.isfinite(price) and price > 0 for price in prices):
        return "a price that is not a positive number"
    if not all(1 / LARGEST_PRICE <= price <= LARGEST_PRICE for price in prices):
        return f"a price beyond {1 / LARGEST_PRICE:g} to {LARGEST_PRICE:g}"
    if not 0 <= bar.volume <= LARGEST_VOLUME:
        return f"a volume that is not a number from 0 to {LARGEST_VOLUME:g}"
    if bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
        return "a high or low that its open and close contradict"
    if abs(bar.funding_rate) > LARGEST_FUNDING:
        return "a funding rate beyond the whole position; send fractions"
    return None


def _moment(bar: Bar) -> str:
    if not 0 <= bar.timestamp < LAST_MS:
        return f"{bar.timestamp} ms"
    return pd.Timestamp(bar.timestamp, unit="ms", tz="UTC").isoformat()
