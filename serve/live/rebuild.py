"""After a restart: accounts from their last commit, and what the journal has seen since."""

from __future__ import annotations

from collections.abc import Mapping

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
    book.forget_marks(track.symbol, newest[0].timestamp)
    return replay(track, reader, book)


def replay(
    track: Track, reader: JournalReader, book: PaperBook, rates: Mapping[int, float] | None = None
) -> int:
    """Step through the journal's bars behind the account's newest, with the decisions that were taken then.

    An account that has met none yet begins where it did, before the first decision.

    Args:
        track: changed in place.
        reader: of the session's journal.
        book: has what the account is told of bars besides the journal.
        rates: funding by the open of its bar that the book does not have yet.

    Returns:
        Bars replayed.

    Raises:
        JournalError: the journal cannot be read.
        StoreError: the book cannot be read.
    """
    rows = reader.rows(since_ms=track.last_ms, symbols=[track.symbol])
    orders = {
        row.entry.bar_ms: order_of(row.entry, row.entry.bar_ms) for row in rows if not row.entry.refused
    }
    if track.last_ms is None:
        past = [bar for bar in reader.bars(track.symbol) if not orders or bar.timestamp < min(orders)]
        if past:
            track.begin(past)
    missed = reader.bars(track.symbol, since_ms=None if track.last_ms is None else track.last_ms + 1)
    for bar in book.completed(track.symbol, missed, rates):
        track.order = orders.get(track.last_ms) if track.last_ms is not None else None
        track.step(bar)
    track.order = orders.get(track.last_ms) if track.last_ms is not None else None
    return len(missed)
