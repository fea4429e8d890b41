"""After a restart: accounts from their last commit, and what the journal has seen since."""

from __future__ import annotations

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.track import Track, order_of


def rebuild(track: Track, reader: JournalReader, book: PaperBook) -> int:
    """Bring a track to the newest bar of the journal, whose rows are the truth.

    The book may lack the newest bars where the process was killed between journal and book; they are
    replayed with the decisions that were taken then, so that the account is the one that an uninterrupted
    session would have.

    Args:
        track: new; changed in place.
        reader: of the session's journal.
        book: of the session.

    Returns:
        Bars replayed.

    Raises:
        JournalError: the journal cannot be read.
        StoreError: the book cannot be read.
        ConfigError: the book is ahead of the journal: they do not belong together.
    """
    saved = book.load(track.symbol)
    newest = reader.bars(track.symbol, last=1)
    if saved is not None:
        if not newest or newest[0].timestamp < saved.bar_ms:
            raise ConfigError(
                f"{book.path}: the account of {track.symbol} has seen bars that {reader.path} lacks; "
                "put the journal back that belongs to it, or use another folder."
            )
        track.account.restore(saved.state)
        track.last_ms = saved.bar_ms
    if not newest:
        return 0
    rows = reader.rows(since_ms=track.last_ms, symbols=[track.symbol])
    orders = {
        row.entry.bar_ms: order_of(row.entry, row.entry.bar_ms) for row in rows if not row.entry.refused
    }
    if track.last_ms is None:
        before_first = min(orders, default=newest[0].timestamp + 1)
        past = [bar for bar in reader.bars(track.symbol) if bar.timestamp < before_first]
        if past:
            track.begin(past)
    missed = reader.bars(track.symbol, since_ms=None if track.last_ms is None else track.last_ms + 1)
    for bar in missed:
        track.order = orders.get(track.last_ms) if track.last_ms is not None else None
        track.step(bar)
    track.order = orders.get(track.last_ms) if track.last_ms is not None else None
    return len(missed)
