"""Candles, mark prices and funding rates of a venue over a stretch of time, all pages of them."""

from __future__ import annotations

import numpy as np

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.sources.pages import read_range
from quantum_trader.envs.sources.venue import Instrument, Venue

_SETTLEMENTS_APART_MS = 3_000_000
"""Funding settles every hour at most; some minutes less, as settlements are stamped a little late."""


def read_candles(venue: Venue, instrument: Instrument, timeframe: str, start_ms: int, end_ms: int) -> Floats:
    """float64 [n, 6], candles that open in [start_ms, end_ms); see `Venue.candles`."""
    step_ms = venue.check_timeframe(timeframe)

    def page(since: int) -> tuple[Floats, int]:
        limit = _bars_between(since, end_ms, step_ms)
        return venue.candles(instrument, timeframe, since, limit)

    return read_range(page, start_ms, end_ms, width=6, apart_ms=step_ms)


def read_marks(venue: Venue, instrument: Instrument, timeframe: str, start_ms: int, end_ms: int) -> Floats:
    """float64 [n, 5], mark prices of bars that open in [start_ms, end_ms); none where the venue has none."""
    step_ms = venue.check_timeframe(timeframe)
    if not instrument.has_mark:
        return _none(5)

    def page(since: int) -> tuple[Floats, int]:
        limit = _bars_between(since, end_ms, step_ms)
        return venue.mark_candles(instrument, timeframe, since, limit)

    return read_range(page, start_ms, end_ms, width=5, apart_ms=step_ms)


def read_funding(venue: Venue, instrument: Instrument, start_ms: int, end_ms: int) -> Floats:
    """float64 [n, 2], settlements in [start_ms, end_ms); none where the instrument has none."""
    if not instrument.has_funding:
        return _none(2)

    def page(since: int) -> tuple[Floats, int]:
        return venue.funding(instrument, since)

    return read_range(page, start_ms, end_ms, width=2, apart_ms=_SETTLEMENTS_APART_MS)


def _none(width: int) -> Floats:
    return np.empty((0, width))


def _bars_between(since_ms: int, end_ms: int, step_ms: int) -> int:
    """Bars that fit into [since_ms, end_ms), at least 1."""
    return max(-(-(end_ms - since_ms) // step_ms), 1)
