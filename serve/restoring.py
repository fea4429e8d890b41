"""Warming an Arbiter up with the bars of a journal, such as after a restart."""

from __future__ import annotations

import logging
from collections.abc import Collection

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.history import SPARE_BARS
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.series import as_series

_log = logging.getLogger(__name__)

_NEWEST_FIRST = (
    "SELECT name FROM (SELECT name, (SELECT max(bar_ms) FROM bars WHERE symbol_id = s.id) AS newest "
    "FROM symbols AS s) WHERE newest IS NOT NULL ORDER BY newest DESC, name"
)


def restore(
    arbiter: Arbiter, reader: JournalReader, symbols: Collection[str] | None = None
) -> dict[str, int]:
    """Give `arbiter` the journal's bars, so that it goes on with the bits of a process that never ended.

    Args:
        arbiter: whose histories are to be filled.
        reader: of the journal.
        symbols: those wanted; None takes all that the journal has bars of. Where there are more than
            `LiveConfig.max_symbols`, those whose bars ended first are left out, and the log says so.

    Returns:
        Bars now in each symbol's window, at most 60.

    Raises:
        JournalError: the journal cannot be read.
    """
    lengths: dict[str, int] = {}
    for symbol in _with_room(arbiter, reader, symbols):
        count = bars_in_history(reader.bar_count(symbol), arbiter.live.kept_bars)
        bars = reader.bars(symbol, last=count)
        # As `Bars`, which are closed even if the clock was set back since.
        past = as_series(symbol, bars, arbiter.histories.step_ms)
        lengths[symbol] = arbiter.add_to_history(symbol, past)
    return lengths


def bars_in_history(seen: int, kept: int) -> int:
    """How many of the bars it has seen a history holds: it forgets the oldest `SPARE_BARS` at a time.

    Args:
        seen: bars.
        kept: as in `SymbolHistory`.
    """
    return seen - max(seen - kept, 0) // SPARE_BARS * SPARE_BARS


def _with_room(arbiter: Arbiter, reader: JournalReader, wanted: Collection[str] | None) -> list[str]:
    """The wanted symbols that have bars and for whose history there is room, by name."""
    names = [name for (name,) in reader.query(_NEWEST_FIRST) if wanted is None or name in wanted]
    new = [name for name in names if name not in arbiter.histories]
    room = max(arbiter.live.max_symbols - len(arbiter.histories), 0)
    left_out = set(new[room:])
    if left_out:
        _log.warning(
            "%d of the journal's symbols, those whose bars ended first, are not restored: at most %d have a "
            "history; raise live.max_symbols for more.",
            len(left_out),
            arbiter.live.max_symbols,
        )
    return sorted(set(names) - left_out)
