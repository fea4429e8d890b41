"""`prune`: old decisions and bars leave the journal, a little at a time."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quantum_trader.agents.history import KEPT_BARS, SPARE_BARS
from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.journal.connection import (
    explained,
    open_reader,
    open_writer,
    patiently,
    transaction,
)
from quantum_trader.serve.journal.schema import RESOLVED, VOID, WAITING

KEEP_BARS = KEPT_BARS + SPARE_BARS
"""Newest bars of each symbol that stay whatever their age: what a restart warms up with."""

_DAY_MS = 86_400_000
_BUSY_MS = 1_000
_PATIENCE_S = 60.0
_DECISIONS, _BARS, _PAGES = 1_000, 5_000, 256
"""Dealt with in one transaction: a writer has to wait a few milliseconds at most."""

_OLD_DECISIONS = f"""
SELECT id, state FROM decisions WHERE bar_ms < ? AND state <> {WAITING} ORDER BY bar_ms LIMIT {_DECISIONS}
"""
# Bars stay where a decision behind which they lie still waits for its outcome.
_NEEDED_FROM = f"""
SELECT s.id,
    (SELECT bar_ms FROM bars WHERE symbol_id = s.id ORDER BY bar_ms DESC LIMIT 1 OFFSET ?),
    (SELECT min(bar_ms) FROM decisions WHERE symbol_id = s.id AND state = {WAITING})
FROM symbols s
"""
_FIRST_KEPT = """
SELECT bar_ms FROM bars WHERE symbol_id = ? ORDER BY bar_ms LIMIT 1 OFFSET (
    SELECT count(*) FROM bars WHERE symbol_id = ? AND bar_ms < ?
) / ? * ?
"""
_DELETE_BARS = f"""
DELETE FROM bars WHERE symbol_id = ? AND bar_ms IN (
    SELECT bar_ms FROM bars WHERE symbol_id = ? AND bar_ms < ? ORDER BY bar_ms LIMIT {_BARS}
)
"""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What was taken out."""

    decisions: int
    """With their outcomes."""
    bars: int


def prune(
    path: Path, *, keep_days: float, now_ms: int, keep_bars: int = KEEP_BARS, together: int = SPARE_BARS
) -> Pruned:
    """Delete decisions (with their outcomes) and bars of before `keep_days` ago, and give the room back.

    Never deleted: a decision whose outcome is still open, the bars behind such a one, and the newest
    `keep_bars` bars of each symbol. Others may write and read meanwhile: every transaction is short.

    Args:
        path: the journal's file.
        keep_days: how long things are kept, by the open of their bar.
        now_ms: milliseconds since the epoch, UTC.
        keep_bars: see above.
        together: bars of a symbol are deleted so many at a time, as histories forget them: what is left then
            tells a restart at which bar the history began that it goes on with.

    Raises:
        ConfigError: not a number of days above 0.
        JournalError: there is no journal, or it cannot be written.
    """
    if not 0.0 < keep_days < float("inf"):
        raise ConfigError(f"keep_days: expected a number of days above 0, found {keep_days}.")
    open_reader(path).close()  # says in its own words that there is none, before one is made
    connection = open_writer(path, busy_ms=_BUSY_MS)
    try:
        before = now_ms - int(keep_days * _DAY_MS)
        pruned = Pruned(
            decisions=_repeat(partial(_delete_decisions, connection, before)),
            bars=_prune_bars(connection, before, keep_bars, together),
        )
        _repeat(partial(_give_back, connection))
        return pruned
    except sqlite3.Error as error:
        raise explained(error, path) from error
    finally:
        connection.close()


def _repeat(step: Callable[[], int]) -> int:
    """`step` until it finds nothing more; pauses leave room for other writers."""
    total = 0
    while True:
        started = time.monotonic()
        done = patiently(step, patience_s=_PATIENCE_S)
        if done <= 0:
            return total
        total += done
        time.sleep(time.monotonic() - started)


def _delete_decisions(connection: sqlite3.Connection, before_ms: int) -> int:
    with transaction(connection):
        rows = connection.execute(_OLD_DECISIONS, (before_ms,)).fetchall()
        connection.executemany("DELETE FROM decisions WHERE id = ?", [(number,) for number, _ in rows])
        states = Counter(state for _, state in rows)
        gone = {"decisions": len(rows), "outcomes": states[RESOLVED], "void": states[VOID]}
        _subtract(connection, gone)
    return len(rows)


def _prune_bars(connection: sqlite3.Connection, before_ms: int, keep_bars: int, together: int) -> int:
    needed = connection.execute(_NEEDED_FROM, (keep_bars - 1,)).fetchall()
    total = 0
    for symbol, newest, waiting in needed:
        if newest is None:  # fewer bars than are kept anyway
            continue
        old = min(before_ms, newest, before_ms if waiting is None else waiting)
        end = connection.execute(_FIRST_KEPT, (symbol, symbol, old, together, together)).fetchone()[0]
        total += _repeat(partial(_delete_bars, connection, symbol, end))
    return total


def _delete_bars(connection: sqlite3.Connection, symbol: int, end_ms: int) -> int:
    with transaction(connection):
        gone = connection.execute(_DELETE_BARS, (symbol, symbol, end_ms)).rowcount
        _subtract(connection, {"bars": gone})
    return gone


def _subtract(connection: sqlite3.Connection, gone: dict[str, int]) -> None:
    changes = [(count, name) for name, count in gone.items() if count]
    connection.executemany("UPDATE totals SET value = value - ? WHERE name = ?", changes)


def _give_back(connection: sqlite3.Connection) -> int:
    """Take some empty pages from the file; how many."""
    empty = _empty_pages(connection)
    if empty:
        # `execute` would stop after the first page; `executescript` goes on to the end.
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
    return empty - _empty_pages(connection)


def _empty_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
