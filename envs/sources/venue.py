"""`Venue`: one exchange, its public data, and nothing else."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.sources.errors import SourceError, TurnedAway
from quantum_trader.envs.sources.replies import PLACE, meaning, plain_words, turned_away, wait_of
from quantum_trader.envs.sources.retry import Retry, Transient
from quantum_trader.envs.sources.timeframes import HOUR_MS, timeframe_ms

Answer = TypeVar("Answer")

_PAGE = 1000
"""Rows asked for at once, where the venue does not set a lower limit."""
_FUNDING_PAGE = 100
"""Settlements that every venue gives at once."""
_BINANCE = ("binance", "binanceusdm")
"""Venues of which it is known that a page starts at the time asked for and may have 1000 rows."""
_ASK_AGAIN = (408, 418, 425, 429)
"""HTTP statuses below 500 after which asking again makes sense."""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """One market of a venue.

    Attributes:
        symbol: ccxt's unified name, e.g. "BTC/USDT:USDT".
        name: what this software calls it and its file, e.g. "BTCUSDT".
        listed_ms: when it was listed, milliseconds since the epoch; None where the venue does not say.
        has_funding: whether the venue tells its past funding rates.
        has_mark: whether the venue tells its past mark prices.
    """

    symbol: str
    name: str
    listed_ms: int | None
    has_funding: bool
    has_mark: bool


class Venue:
    """Reads one exchange's public data; may be used from any thread, one request runs at a time.

    Every method asks again after failures that may pass (see `Retry`) and raises `SourceError` where the
    venue does not answer, refuses, or answers something else.
    """

    def __init__(self, client: Any, retry: Retry) -> None:
        self._client = client
        self._retry = retry
        self._lock = threading.RLock()

    @property
    def exchange(self) -> str:
        """ccxt's id of it."""
        return str(self._client.id)

    def now_ms(self) -> int:
        """The venue's clock, milliseconds since the epoch, UTC; this machine's where it tells none."""
        if not self._client.has.get("fetchTime"):
            return time.time_ns() // 1_000_000
        return self._ask(lambda: int(self._client.fetch_time()), "its clock")

    def check_timeframe(self, timeframe: str) -> int:
        """Milliseconds of a bar of `timeframe`.

        Raises:
            ConfigError: the venue has no such bars.
        """
        length = timeframe_ms(timeframe)
        offered = self._client.timeframes or {}
        if timeframe not in offered:
            raise ConfigError(
                f"{self.exchange} has no bars of {timeframe!r}; it has {', '.join(offered) or 'none'}."
            )
        return length

    def instrument(self, symbol: str) -> Instrument:
        """The market called `symbol`: ccxt's name ("BTC/USDT:USDT") or the venue's ("BTCUSDT").

        A venue's name that means several markets means the perpetual one.

        Raises:
            ConfigError: there is no such market.
        """
        with self._lock:
            self._ask(self._load_markets, "its list of markets")
            market = self._market(symbol)
            has = self._client.has
            perpetual = bool(market.get("swap"))
            return Instrument(
                symbol=market["symbol"],
                name=file_name(market),
                listed_ms=int(market["created"]) if market.get("created") else None,
                has_funding=perpetual and bool(has.get("fetchFundingRateHistory")),
                has_mark=perpetual and bool(has.get("fetchMarkOHLCV")),
            )

    def candles(
        self, instrument: Instrument, timeframe: str, since_ms: int, limit: int = _PAGE
    ) -> tuple[Floats, int]:
        """One page of candles that open at `since_ms` or later; the newest may still be open.

        Returns:
            float64 [n, 6]: open time in milliseconds, open, high, low, close, volume in base units;
            ascending, 0 <= n <= `limit` or what the venue allows at once; and the moment up to which a page
            without rows says that there are none.
        """
        step_ms = timeframe_ms(timeframe)
        limit = min(limit, self._candle_limit(instrument, "limit"))

        def ask() -> Floats:
            return _rows(self._client.fetch_ohlcv(instrument.symbol, timeframe, since_ms, limit), 6)

        return self._ask(ask, f"candles of {instrument.name}"), since_ms + limit * step_ms

    def mark_candles(
        self, instrument: Instrument, timeframe: str, since_ms: int, limit: int = _PAGE
    ) -> tuple[Floats, int]:
        """As `candles`, of the mark price; float64 [n, 5]: time, open, high, low, close."""
        step_ms = timeframe_ms(timeframe)
        limit = min(limit, self._candle_limit(instrument, "mark"))

        def ask() -> Floats:
            return _rows(self._client.fetch_mark_ohlcv(instrument.symbol, timeframe, since_ms, limit), 5)

        return self._ask(ask, f"mark prices of {instrument.name}"), since_ms + limit * step_ms

    def funding(self, instrument: Instrument, since_ms: int) -> tuple[Floats, int]:
        """One page of funding settlements from `since_ms` on.

        Returns:
            float64 [n, 2], ascending: time in milliseconds as the venue tells it, a little late, and the rate
            as a fraction, a long paying when it is positive; and the moment up to which a page without rows
            says that there are none.
        """
        whole = self.exchange in _BINANCE
        limit = _PAGE if whole else _FUNDING_PAGE
        # Settlements are an hour or more apart. Venues that give the NEWEST rows since a moment would leave
        # a hole unless the page is bounded so that all its rows fit.
        until = since_ms + limit * HOUR_MS
        params = {} if whole else {"until": until - 1}

        def ask() -> Floats:
            records = self._client.fetch_funding_rate_history(instrument.symbol, since_ms, limit, params)
            return _rows([[record["timestamp"], record["fundingRate"]] for record in records], 2)

        return self._ask(ask, f"funding rates of {instrument.name}"), until

    def _load_markets(self) -> None:
        if not self._client.load_markets():
            raise Transient("an empty list of markets")

    def _market(self, symbol: str) -> dict[str, Any]:
        markets: dict[str, dict[str, Any]] = self._client.markets
        found = [markets[symbol]] if symbol in markets else list(self._client.markets_by_id.get(symbol, []))
        if not found:
            found = [market for market in markets.values() if symbol == file_name(market)]
        if not found:
            known = sorted({file_name(market) for market in markets.values()} | set(markets))
            near = difflib.get_close_matches(symbol.upper(), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else 'names look like "BTCUSDT".'
            raise ConfigError(f"{self.exchange} has no market {symbol!r}; {hint}")
        # Spot and perpetual often share the venue's name; this software trades perpetuals.
        found.sort(key=lambda market: (not market.get("swap"), not market.get("linear")))
        return found[0]

    def _candle_limit(self, instrument: Instrument, kind: str) -> int:
        """Candles that the venue gives at once, by ccxt's table of features."""
        if self.exchange in _BINANCE:
            return _PAGE
        client = self._client
        stated = client.feature_value(instrument.symbol, "fetchOHLCV", kind)
        stated = stated or client.feature_value(instrument.symbol, "fetchOHLCV", "limit")
        return min(int(stated), _PAGE) if stated else _PAGE

    def _ask(self, ask: Callable[[], Answer], what: str) -> Answer:
        with self._lock:
            return self._retry.call(lambda: self._once(ask, what), who=self.exchange)

    def _once(self, ask: Callable[[], Answer], what: str) -> Answer:
        """One request, with ccxt's errors sorted into those that may pass and those that will not."""
        import ccxt

        try:
            return ask()
        except ccxt.OperationFailed as error:
            status = self._client.last_status
            if status is not None and 400 <= status < 500 and status not in _ASK_AGAIN:
                raise self._refusal(error, what) from error
            raise Transient(_reason(error, status), retry_after_s=self._retry_after(str(error))) from error
        except ccxt.BaseError as error:
            raise self._refusal(error, what) from error
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            # ccxt's parsers trip over answers of another shape.
            raise Transient(f"{what} in an unexpected shape") from error

    def _refusal(self, error: Exception, what: str) -> SourceError:
        status = self._client.last_status
        if status in PLACE:
            return TurnedAway(turned_away(self.exchange, what, status))
        # ccxt tells of an untrusted certificate only in the cause.
        said = f"{error} {error.__cause__ or ''}" if status is None else str(error)
        return SourceError(f"{self.exchange} refuses {what}: {plain_words(said)}")

    def _retry_after(self, said: str) -> float | None:
        """Seconds that the last answer asked to wait; without an answer there are no headers."""
        headers = getattr(self._client, "last_response_headers", None) or {}
        return wait_of(headers.get, said)


def file_name(market: dict[str, Any]) -> str:
    """BTCUSDT for the spot or perpetual market of BTC and USDT; for others the venue's id without signs."""
    plain = market.get("swap") or market.get("spot")
    name = f"{market.get('base')}{market.get('quote')}" if plain else str(market.get("id"))
    return "".join(character for character in name if character.isalnum() or character in "_-")


def _rows(answer: Any, width: int) -> Floats:
    """float64 [n, width], ascending by the first column; a value that is missing is NaN."""
    rows = np.full((len(answer), width), np.nan)
    for row, values in zip(rows, answer, strict=True):
        row[:] = [np.nan if value is None else float(value) for value in values[:width]]
    if not np.isfinite(rows[:, 0]).all():
        raise Transient("a row without a time")
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _reason(error: Exception, status: int | None) -> str:
    """What happened, in a few words; without a status nothing was answered."""
    import ccxt

    if status is not None:
        return meaning(status, type(error).__name__)
    return "no answer in time" if isinstance(error, ccxt.RequestTimeout) else "no connection, or it broke"
