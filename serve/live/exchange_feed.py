"""`ExchangeFeed`: a `Feed` from the public data of a ccxt exchange."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bar, Floats
from quantum_trader.envs.paper_account import Mark
from quantum_trader.envs.sources.assemble import Rows, assemble, known_marks
from quantum_trader.envs.sources.client import open_venue
from quantum_trader.envs.sources.errors import SourceError, TurnedAway
from quantum_trader.envs.sources.ranges import read_candles, read_funding, read_marks
from quantum_trader.envs.sources.retry import Retry, RetryConfig, Transient
from quantum_trader.envs.sources.timeframes import HOUR_MS, timeframe_ms
from quantum_trader.envs.sources.venue import Instrument, Venue
from quantum_trader.serve.live.errors import FeedError, TurnedAwayError
from quantum_trader.serve.live.feed import UNMARKED, MarkedBar, Settlements
from quantum_trader.serve.live.pace import Pace

_PUBLISHED_MS = 60_000
"""A settlement is looked for this long after its moment: venues publish it some seconds late."""
_LATEST_MS = 48 * HOUR_MS
"""How late a settlement may be published, or twice a bar where that is longer."""
_REST_MS, _LONGEST_REST_MS = 60_000, 3_600_000
"""Mark prices that cannot be had twice in a row are not asked for in that time: no bar waits for them."""
_TIMEOUT_S = 10.0
_ONCE = RetryConfig(attempts=1, patience_s=0.0)
"""The live loop asks again by itself, and knows better when."""


class ExchangeFeed:
    """Bars with their funding rates; several requests at a time, all of them reading.

    Funding settles on whole hours, so rates are asked for when bars open on one; `prepare` does that before
    the bar closes.

    Args:
        venues: one for every request that may run at a time.
        timeframe: length of a bar, e.g. "1h".
        pace: of all requests together.
        mark: whether mark prices are wanted: one more request a bar.
    """

    def __init__(self, venues: Sequence[Venue], timeframe: str, *, pace: Pace, mark: bool = False) -> None:
        self.timeframe = timeframe
        self.step_ms = timeframe_ms(timeframe)
        self._mark = mark
        self._mark_failures, self._mark_rest_ms = 0, 0
        self._pace = pace
        self._idle: queue.SimpleQueue[Venue] = queue.SimpleQueue()
        for venue in venues:
            self._idle.put(venue)
        self._lock = threading.Lock()
        self._instruments: dict[str, Instrument] = {}
        self._rates: dict[str, Floats] = {}
        self._asked: dict[str, tuple[int, int]] = {}

    def check(self, symbols: Sequence[str]) -> None:
        """Look every symbol up.

        Raises:
            ConfigError: the venue has no such market or no bars of this length.
            FeedError: no answer.
        """
        with self._venue() as venue:
            venue.check_timeframe(self.timeframe)
            for symbol in symbols:
                self._instruments[symbol] = venue.instrument(symbol)

    def now_ms(self) -> int:
        """See `Feed`."""
        with self._venue() as venue:
            return venue.now_ms()

    def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
        """See `Feed`."""
        with self._venue() as venue:
            instrument = self._instrument(venue, symbol)
            end = until_ms - self.step_ms + 1
            candles = read_candles(venue, instrument, self.timeframe, since_ms, end)
            rates = self._funding(venue, instrument, symbol, since_ms, end, until_ms)
        rows = Rows(bars=candles, mark=np.empty((0, 5)), funding=rates)
        return _bars(assemble(rows, self.step_ms).frame)

    def marked(self, symbol: str, bars: Sequence[Bar]) -> list[Bar]:
        """See `Feed`."""
        if not self._mark or not bars:
            return list(bars)
        instrument = self._instruments.get(symbol)
        if instrument is None or not instrument.has_mark:
            return _with_marks(bars, {}, UNMARKED)
        since_ms, end_ms = bars[0].timestamp, bars[-1].timestamp + 1
        with self._lock:
            if end_ms < self._mark_rest_ms:
                return _with_marks(bars, {}, "not asked for after failures")
        missing = "the exchange has none yet"
        rows = np.empty((0, 5))
        try:
            with self._venue() as venue:
                rows = read_marks(venue, instrument, self.timeframe, since_ms, end_ms)
        except TurnedAwayError:
            raise
        except FeedError as error:
            missing = str(error)
        with self._lock:
            self._mark_failures = 0 if len(rows) else self._mark_failures + 1
            if self._mark_failures > 1:
                rest_ms = _REST_MS * 2 ** min(self._mark_failures - 2, 10)
                self._mark_rest_ms = end_ms + self.step_ms + min(rest_ms, _LONGEST_REST_MS)
        stamps = np.array([bar.timestamp for bar in bars], dtype=np.int64)
        known = known_marks(stamps, rows).tolist()
        marks = {
            bar.timestamp: Mark(open=first, high=high, low=low, close=last)
            for bar, (first, high, low, last) in zip(bars, known, strict=True)
            if first == first
        }
        return _with_marks(bars, marks, missing)

    def prepare(self, symbol: str, now_ms: int) -> Settlements:
        """See `Feed`."""
        open_ms = now_ms - now_ms % self.step_ms
        with self._lock:
            self._asked.pop(symbol, None)  # what was missing at an earlier question may be there now
        with self._venue() as venue:
            instrument = self._instrument(venue, symbol)
            if not instrument.has_funding:
                return Settlements()
            since_ms = open_ms - max(_LATEST_MS, 2 * self.step_ms)
            rows = _recent(venue, instrument, since_ms, open_ms + _PUBLISHED_MS)
        last = open_ms // HOUR_MS * HOUR_MS
        with self._lock:
            self._asked[symbol] = (_first_hour(since_ms), last if now_ms >= last + _PUBLISHED_MS else -1)
            self._rates[symbol] = rows
        return Settlements(since_ms=since_ms, rows=rows)

    def _instrument(self, venue: Venue, symbol: str) -> Instrument:
        known = self._instruments.get(symbol)
        if known is None:
            known = self._instruments[symbol] = venue.instrument(symbol)
        return known

    def _funding(
        self, venue: Venue, instrument: Instrument, symbol: str, since_ms: int, end_ms: int, now_ms: int
    ) -> Floats:
        """float64 [k, 2]: settlements that fall on bars which open in [since_ms, end_ms)."""
        start = since_ms - self.step_ms
        first, last = _first_hour(start + 1), (end_ms - 1) // HOUR_MS * HOUR_MS
        if not instrument.has_funding or last < first:
            return np.empty((0, 2))
        with self._lock:
            asked = self._asked.get(symbol, (0, -1))
            rates = self._rates.get(symbol, np.empty((0, 2)))
        if not (asked[0] <= first and last <= asked[1]):
            self._pace.take()
            rates = read_funding(venue, instrument, start + 1, end_ms + _PUBLISHED_MS)
            with self._lock:
                # A rate that was looked for too early may still come.
                self._asked[symbol] = (first, last if now_ms >= last + _PUBLISHED_MS else -1)
                self._rates[symbol] = rates
        return rates

    @contextmanager
    def _venue(self) -> Iterator[Venue]:
        """An idle venue, at the next moment at which a request may be sent; errors become `FeedError`s."""
        venue = self._idle.get()
        try:
            self._pace.take()
            yield venue
        except SourceError as error:
            raise self._explained(error) from error
        finally:
            self._idle.put(venue)

    def _explained(self, error: SourceError) -> FeedError:
        if isinstance(error, TurnedAway):
            return TurnedAwayError(str(error))
        cause = error.__cause__
        if not isinstance(cause, Transient):
            return FeedError(str(error))
        if cause.retry_after_s is not None:
            self._pace.hold(cause.retry_after_s)
        return FeedError(cause.reason, retry_after_s=cause.retry_after_s)


def open_feed(
    exchange: str,
    timeframe: str,
    *,
    connections: int = 4,
    per_second: float = 20.0,
    mark: bool = False,
    url: str | None = None,
    sleep: Callable[[float], object],
    monotonic: Callable[[], float] = time.monotonic,
) -> ExchangeFeed:
    """A feed of `exchange`, an id of ccxt; without credentials, as there is no place to give any.

    Args:
        exchange: e.g. "binanceusdm".
        timeframe: length of a bar, e.g. "1h".
        connections: requests that may run at a time.
        per_second: requests a second, all together.
        mark: whether mark prices are wanted.
        url: scheme and host in place of the venue's own; see `open_venue`.
        sleep: waits so many seconds, or less when the session ends.
        monotonic: seconds that never go back.

    Raises:
        ConfigError: ccxt is not installed or has no such exchange.
    """

    def pause(seconds: float) -> None:
        sleep(seconds)

    retry = Retry(config=_ONCE, sleep=pause)
    venues = [open_venue(exchange, url=url, retry=retry, timeout_s=_TIMEOUT_S) for _ in range(connections)]
    pace = Pace(per_second, sleep=sleep, monotonic=monotonic)
    return ExchangeFeed(venues, timeframe, pace=pace, mark=mark)


def _first_hour(moment_ms: int) -> int:
    """The first whole hour at or after a moment."""
    return -(-moment_ms // HOUR_MS) * HOUR_MS


def _bars(frame: pd.DataFrame) -> list[Bar]:
    """Rows of a frame as `assemble` makes it."""
    stamps = frame["timestamp"].dt.as_unit("ms").astype("int64").tolist()
    values = [frame[name].tolist() for name in ("open", "high", "low", "close", "volume", "funding_rate")]
    return [
        Bar(timestamp=stamp, open=first, high=high, low=low, close=last, volume=volume, funding_rate=rate)
        for stamp, first, high, low, last, volume, rate in zip(stamps, *values, strict=True)
    ]


def _with_marks(bars: Sequence[Bar], marks: Mapping[int, Mark], missing: str) -> list[Bar]:
    """`bars` with those of the marks that there are; the others say why there is none."""
    return [
        MarkedBar(
            **vars(bar),
            mark=marks.get(bar.timestamp),
            missing="" if bar.timestamp in marks else missing,
        )
        for bar in bars
    ]


def _recent(venue: Venue, instrument: Instrument, since_ms: int, end_ms: int) -> Floats:
    """float64 [k, 2], settlements since a moment: one page where they fit, asked for again if it is empty."""
    rows, reach_ms = venue.funding(instrument, since_ms)
    if not len(rows):
        rows, reach_ms = venue.funding(instrument, since_ms)
    return rows if reach_ms >= end_ms else read_funding(venue, instrument, since_ms, end_ms)
