"""The newest closed bars of a venue, for programs that follow it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.sources.assemble import Rows, assemble
from quantum_trader.envs.sources.pages import read_range
from quantum_trader.envs.sources.venue import Instrument, Venue

_LAG_MS = 60_000
_SETTLEMENTS_APART_MS = 3_000_000
"""Funding settles every hour at most; some minutes less, as settlements are stamped a little late."""


def closed_frame(
    venue: Venue,
    instrument: Instrument,
    timeframe: str,
    since_ms: int,
    *,
    now_ms: int | None = None,
    mark: bool = True,
    funding: bool = True,
) -> pd.DataFrame:
    """Closed bars that open at `since_ms` or later, with funding rates and mark prices where there are any.

    Args:
        venue: where to ask.
        instrument: from `venue.instrument(symbol)`.
        timeframe: length of a bar, e.g. "1h".
        since_ms: first open wanted, milliseconds since the epoch, UTC.
        now_ms: the venue's clock; None asks it. A bar is closed when its whole length has passed by then.
        mark: whether to ask for mark prices: one more request per page.
        funding: whether to ask for funding rates: one or two more requests.

    Returns:
        Rows ascending, none where no bar has closed: timestamp (UTC), open, high, low, close, volume,
        funding_rate (NaN where none settles), mark_open, mark_high, mark_low, mark_close (NaN where unknown).
        Bars that contradict themselves are left out.

    Raises:
        SourceError: the venue does not answer or refuses.
        ConfigError: the venue has no such timeframe.
    """
    step_ms = venue.check_timeframe(timeframe)
    now = venue.now_ms() if now_ms is None else now_ms
    end = now - step_ms + 1
    # The settlement at the newest bar's open is stamped a little later than the open.
    funding_end = end + _LAG_MS
    rows = Rows(
        bars=read_candles(venue, instrument, timeframe, since_ms, end),
        mark=read_marks(venue, instrument, timeframe, since_ms, end) if mark else _none(5),
        funding=read_funding(venue, instrument, since_ms - step_ms, funding_end) if funding else _none(2),
    )
    return assemble(rows, step_ms).frame


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
