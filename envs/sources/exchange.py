"""History from an exchange's API."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.sources.chunks import Chunk, Kind
from quantum_trader.envs.sources.ranges import read_candles, read_funding, read_marks
from quantum_trader.envs.sources.timeframes import HOUR_MS
from quantum_trader.envs.sources.venue import Venue

_BARS_IN_CHUNK = 1000
_PUBLISHED_MS = 120_000
_BEFORE_LISTING_MS = 30 * 86_400_000
_FUNDING_CHUNK_MS = 320 * 86_400_000
"""Of settlements every 8 hours these are 960, one page where pages hold 1000."""


class ExchangeSource:
    """One symbol's history at an exchange; see `SymbolSource`.

    Args:
        venue: the exchange.
        symbol: "BTCUSDT" or "BTC/USDT:USDT".
        timeframe: length of a bar, e.g. "1h".
        funding: whether to read funding rates.
        mark: whether to read mark prices.

    Raises:
        ConfigError: the exchange has no such market or timeframe.
        SourceError: it does not answer or refuses.
    """

    def __init__(
        self, venue: Venue, symbol: str, timeframe: str, *, funding: bool = True, mark: bool = True
    ) -> None:
        self._venue = venue
        self._timeframe = timeframe
        self._step_ms = venue.check_timeframe(timeframe)
        self._instrument = venue.instrument(symbol)
        self._kinds: tuple[Kind, ...] = (
            "bars",
            *(("mark",) if mark and self._instrument.has_mark else ()),
            *(("funding",) if funding and self._instrument.has_funding else ()),
        )

    @cached_property
    def _now_ms(self) -> int:
        """The venue's clock when this symbol's turn came."""
        return self._venue.now_ms()

    @property
    def name(self) -> str:
        """E.g. "BTCUSDT"."""
        return self._instrument.name

    @property
    def label(self) -> str:
        """ccxt's id of the exchange."""
        return self._venue.exchange

    @property
    def identity(self) -> dict[str, str]:
        """Exchange, market and timeframe."""
        return {
            "source": "exchange",
            "exchange": self._venue.exchange,
            "symbol": self._instrument.symbol,
            "timeframe": self._timeframe,
        }

    @property
    def workers(self) -> int:
        """One: exchanges limit requests by address, so that many at once gain nothing."""
        return 1

    def first_ms(self) -> int | None:
        """Open of the first bar, where the exchange says when the market was listed."""
        listed = self._instrument.listed_ms
        if listed is None:
            return None
        # Some have bars of days before the date that they tell.
        earliest = (listed - _BEFORE_LISTING_MS) // self._step_ms * self._step_ms
        rows, _ = self._venue.candles(self._instrument, self._timeframe, earliest, limit=1)
        return int(rows[0, 0]) if len(rows) else earliest

    def end_ms(self) -> tuple[int, str]:
        """Now, rounded down to whole bars; a rate that settled at a bar's open has been published by then."""
        now = self._now_ms - max(_PUBLISHED_MS - self._step_ms, 0)
        return now // self._step_ms * self._step_ms, ""

    def chunks(self, kind: Kind, start_ms: int, end_ms: int) -> list[Chunk]:
        """Pieces of about one request; they begin at multiples of their length, whatever the start."""
        if kind not in self._kinds:
            return []
        length = _FUNDING_CHUNK_MS if kind == "funding" else _BARS_IN_CHUNK * self._step_ms
        if kind == "funding":
            # Rates settle on whole hours; those inside a longer bar belong to the next one's open.
            start_ms -= max(self._step_ms - HOUR_MS, 0)
        cuts = range(start_ms // length * length, end_ms, length)
        return [
            Chunk(kind=kind, start_ms=max(cut, start_ms), end_ms=min(cut + length, end_ms)) for cut in cuts
        ]

    def read(self, chunk: Chunk, folder: Path) -> Floats:
        """The piece's rows; see `SymbolSource.read`."""
        venue, instrument = self._venue, self._instrument
        if chunk.kind == "funding":
            return read_funding(venue, instrument, chunk.start_ms, chunk.end_ms)
        read = read_candles if chunk.kind == "bars" else read_marks
        rows = read(venue, instrument, self._timeframe, chunk.start_ms, chunk.end_ms)
        closed = rows[:, 0] + self._step_ms <= self._now_ms
        return np.ascontiguousarray(rows[closed])
