"""Answers in the shapes of Binance's USDT-margined futures API (fapi v1), made from `Bars`.

Shapes after the venue's documentation and recordings that public projects keep as fixtures: prices are
strings, times are milliseconds, a kline has twelve fields and a mark-price kline fills those that have no
meaning with "0".
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from quantum_trader.envs.bars import Bars

Json = Any

INTERVALS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
}
MAX_KLINES, DEFAULT_KLINES = 1500, 500
MAX_FUNDING, DEFAULT_FUNDING = 1000, 100

_PERPETUAL_DELIVERY_MS = 4_133_404_800_000
_SYMBOL = re.compile(r"^(\w+?)(USDT|USDC|BUSD|USD)$")


class VenueError(Exception):
    """An answer {"code": ..., "msg": ...} with an HTTP status of 400."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_symbol() -> VenueError:
    """The venue has no such symbol."""
    return VenueError(-1121, "Invalid symbol.")


def text(value: float) -> str:
    """A number as the venue writes it, a decimal without an exponent; `float` reads the same number back."""
    return np.format_float_positional(value, trim="0")


def base_and_quote(symbol: str) -> tuple[str, str]:
    """ "BTCUSDT" -> ("BTC", "USDT"); what has no known quote is taken to end in three letters of it."""
    match = _SYMBOL.match(symbol)
    return (match[1], match[2]) if match else (symbol[:-3], symbol[-3:])


def exchange_info(series: dict[str, Bars], now_ms: int) -> Json:
    """GET /fapi/v1/exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_market(symbol, bars) for symbol, bars in series.items()],
    }


def empty_exchange_info(now_ms: int) -> Json:
    """What other market types (spot, coin-margined) answer here: no symbols."""
    return {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [], "exchangeFilters": [], "symbols": []}


def _market(symbol: str, bars: Bars) -> Json:
    base, quote = base_and_quote(symbol)
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY_MS,
        "onboardDate": int(bars.timestamp[0]),
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.0001", "maxPrice": "4529764", "tickSize": "0.0001"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def kline(bars: Bars, row: int, now_ms: int) -> list[Any]:
    """One kline; the bar that is still open at `now_ms` shows what has happened of it so far."""
    opened = int(bars.timestamp[row])
    prices = [float(getattr(bars, name)[row]) for name in ("open", "high", "low", "close")]
    part = _elapsed(opened, bars.step_ms, now_ms)
    volume = float(bars.volume[row]) * part
    first, high, low, last = (text(price) for price in _so_far(prices, part))
    closes = opened + bars.step_ms - 1
    turnover = text(volume * prices[3])
    half = text(volume / 2)
    return [opened, first, high, low, last, text(volume), closes, turnover, 1000, half, turnover, "0"]


def mark_kline(bars: Bars, row: int, now_ms: int) -> list[Any]:
    """One mark-price kline: no volume, and 3600 observations of a second."""
    opened = int(bars.timestamp[row])
    prices = [float(getattr(bars, f"mark_{name}")[row]) for name in ("open", "high", "low", "close")]
    part = _elapsed(opened, bars.step_ms, now_ms)
    written = [text(price) for price in _so_far(prices, part)]
    return [opened, *written, "0", opened + bars.step_ms - 1, "0", bars.step_ms // 1000, "0", "0", "0"]


def _elapsed(opened: int, step_ms: int, now_ms: int) -> float:
    """How much of a bar has passed, 0 to 1."""
    return min(max((now_ms - opened) / step_ms, 0.0), 1.0)


def _so_far(prices: list[float], part: float) -> list[float]:
    """Open, high, low and close after `part` of the bar: on the way from the open to the final close."""
    if part >= 1.0:
        return prices
    first, high, low, last = prices
    now = first + (last - first) * part
    return [
        first,
        max(first, now, first + (high - first) * part),
        min(first, now, first + (low - first) * part),
        now,
    ]


def funding_row(bars: Bars, row: int) -> Json:
    """One settlement; like the venue's, its time is some milliseconds late."""
    stamp = int(bars.timestamp[row])
    return {
        "symbol": bars.symbol,
        "fundingTime": stamp + settlement_lag_ms(stamp),
        "fundingRate": text(float(bars.funding_rate[row])),
        "markPrice": text(float(bars.mark_open[row])),
    }


def settlement_lag_ms(stamp: int) -> int:
    """0 to 12 milliseconds, the same for the same settlement."""
    return stamp // 3_600_000 * 7 % 13


def premium_index(bars: Bars, row: int, now_ms: int) -> Json:
    """GET /fapi/v1/premiumIndex of one symbol, `row` being its newest bar."""
    known = np.flatnonzero(np.isfinite(bars.funding_rate[: row + 1]))
    rate = float(bars.funding_rate[known[-1]]) if len(known) else 0.0
    mark = float(mark_kline(bars, row, now_ms)[4])
    return {
        "symbol": bars.symbol,
        "markPrice": text(mark),
        "indexPrice": text(mark),
        "estimatedSettlePrice": text(mark),
        "lastFundingRate": text(rate),
        "interestRate": "0.00010000",
        "nextFundingTime": now_ms // 28_800_000 * 28_800_000 + 28_800_000,
        "time": now_ms,
    }
