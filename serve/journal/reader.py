"""`JournalReader`: reading a journal beside any number of writers and readers."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.checkpoint import file_identity, wal_bytes
from quantum_trader.serve.journal.codec import (
    BAR_COLUMNS,
    ENTRY_COLUMNS,
    OUTCOME_COLUMNS,
    read_bar,
    read_row,
)
from quantum_trader.serve.journal.connection import damaged, explained, open_reader, patiently
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.records import JournalRow, JournalState
from quantum_trader.serve.journal.schema import TOTALS, WAITING

Result = TypeVar("Result")

PAGE = 2_000
"""Rows read in one transaction: a long one would keep the write-ahead log from being emptied."""
_KEPT_CONNECTIONS = 8
_EARLIEST, _LATEST = -(2**63), 2**63 - 1

_ROW = ", ".join(
    ("d.id", "s.name", *(f"d.{name}" for name in ENTRY_COLUMNS), *(f"o.{name}" for name in OUTCOME_COLUMNS))
)
_JOINED = "decisions d JOIN symbols s ON s.id = d.symbol_id LEFT JOIN outcomes o ON o.decision_id = d.id"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which decisions, by the open of their bar."""

    since_ms: int | None = None
    """First bar; None starts at the oldest."""
    until_ms: int | None = None
    """End, itself excluded; None goes on to the newest."""
    symbols: tuple[str, ...] | None = None
    """None takes all."""

    def conditions(self) -> tuple[list[str], list[Any]]:
        """SQL conditions on the decisions `d`, and their values."""
        found: list[tuple[str, Any]] = []
        if self.since_ms is not None:
            found.append(("d.bar_ms >= ?", self.since_ms))
        if self.until_ms is not None:
            found.append(("d.bar_ms < ?", self.until_ms))
        if self.symbols is not None:
            if len(self.symbols) == 1:  # the index then gives the rows in order, without sorting them
                found.append(("d.symbol_id = (SELECT id FROM symbols WHERE name = ?)", self.symbols[0]))
            else:
                named = "SELECT id FROM symbols WHERE name IN (SELECT value FROM json_each(?))"
                found.append((f"d.symbol_id IN ({named})", json.dumps(list(self.symbols))))
        return [condition for condition, _ in found], [value for _, value in found]


class JournalReader:
    """A journal's reading end: thread-safe, any number of them in any number of processes.

    It sees what is committed, never waits for the writer, and never makes it wait: every query is a short
    transaction of its own. Many rows are read page by page, so a row that is written meanwhile may or may
    not be among them.

    Args:
        path: the journal's file.

    Raises:
        JournalError: there is no such file, it is damaged, no journal, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = [open_reader(self.path)]
        self._file = file_identity(self.path)
        self._closed = False

    def rows(
        self,
        since_ms: int | None = None,
        until_ms: int | None = None,
        symbols: Sequence[str] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[JournalRow]:
        """Decisions with their outcomes, in the order of their bars.

        Args:
            since_ms, until_ms: range of bar opens, milliseconds since the epoch, the end excluded.
            symbols: None takes all.
            limit: at most so many.
            newest_first: the newest bars first, and within the limit.

        Raises:
            JournalError: the file cannot be read.
        """
        chosen = Selection(
            since_ms=since_ms, until_ms=until_ms, symbols=None if symbols is None else tuple(symbols)
        )
        found: list[JournalRow] = []
        for page in self.pages(chosen, limit=limit, newest_first=newest_first):
            found += page
        return found

    def pages(
        self, chosen: Selection, *, limit: int | None = None, newest_first: bool = False, size: int = PAGE
    ) -> Iterator[list[JournalRow]]:
        """`rows` in parts of `size`, for what does not fit into memory."""
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        conditions, values = chosen.conditions()
        last: tuple[int, int] | None = None
        left = limit
        while left is None or left > 0:
            further = [*conditions] if last is None else [*conditions, f"(d.bar_ms, d.id) {beyond} (?, ?)"]
            count = size if left is None else min(size, left)
            where = f"WHERE {' AND '.join(further)}" if further else ""
            sorted_ = f"ORDER BY d.bar_ms {order}, d.id {order}"
            # First which rows, from an index alone, then their contents: sorting whole rows is slow.
            chosen_ids = f"SELECT d.id FROM decisions d {where} {sorted_} LIMIT {count}"
            query = f"SELECT {_ROW} FROM {_JOINED} WHERE d.id IN ({chosen_ids}) {sorted_}"
            page = [read_row(row) for row in self.query(query, [*values, *(last or ())])]
            if page:
                yield page
            if len(page) < count:
                return
            last = (page[-1].entry.bar_ms, page[-1].id)
            left = None if left is None else left - count

    def bars(self, symbol: str, since_ms: int | None = None, last: int | None = None) -> list[Bar]:
        """Bars of a symbol, oldest first; empty where there are none.

        Args:
            symbol: whose.
            since_ms: first bar open; None starts at the oldest.
            last: only so many of the newest.

        Raises:
            JournalError: the file cannot be read.
        """
        query = (
            f"SELECT {', '.join(BAR_COLUMNS)} FROM bars "
            "WHERE symbol_id = (SELECT id FROM symbols WHERE name = ?) AND bar_ms >= ? "
            "ORDER BY bar_ms DESC LIMIT ?"
        )
        values = (symbol, _EARLIEST if since_ms is None else since_ms, -1 if last is None else last)
        return [read_bar(row) for row in reversed(self.query(query, values))]

    def bar_count(self, symbol: str) -> int:
        """Bars of a symbol.

        Raises:
            JournalError: the file cannot be read.
        """
        query = "SELECT count(*) FROM bars WHERE symbol_id = (SELECT id FROM symbols WHERE name = ?)"
        return int(self.query(query, (symbol,))[0][0])

    def bar_pages(
        self, symbol: str, *, since_ms: int | None = None, until_ms: int | None = None, size: int = PAGE
    ) -> Iterator[list[Bar]]:
        """Bars of a symbol from `since_ms` to before `until_ms`, oldest first, in parts of `size`."""
        query = (
            f"SELECT {', '.join(BAR_COLUMNS)} FROM bars "
            "WHERE symbol_id = (SELECT id FROM symbols WHERE name = ?) AND bar_ms >= ? AND bar_ms < ? "
            "ORDER BY bar_ms LIMIT ?"
        )
        first = _EARLIEST if since_ms is None else since_ms
        end = _LATEST if until_ms is None else until_ms
        while page := [read_bar(row) for row in self.query(query, (symbol, first, end, size))]:
            yield page
            first = page[-1].timestamp + 1

    def symbols(self) -> list[str]:
        """Symbols that have bars or decisions, by name.

        Raises:
            JournalError: the file cannot be read.
        """
        return [row[0] for row in self.query("SELECT name FROM symbols ORDER BY name")]

    def state(self) -> JournalState:
        """How large the journal is; what waits in a writing process is known to that process alone.

        Raises:
            JournalError: the file cannot be read.
        """

        def read(connection: sqlite3.Connection) -> tuple[dict[str, int], int]:
            totals = dict(connection.execute("SELECT name, value FROM totals").fetchall())
            waiting = f"SELECT count(*) FROM decisions WHERE state = {WAITING}"
            return totals, int(connection.execute(waiting).fetchone()[0])

        totals, waiting = self.read(read)
        log = wal_bytes(self.path)
        extra = {
            name: float(totals[name]) for name in TOTALS if name not in ("decisions", "outcomes", "bars")
        }
        return JournalState(
            path=str(self.path),
            decisions=totals["decisions"],
            outcomes=totals["outcomes"],
            bars=totals["bars"],
            bytes=_size(self.path) + log,
            extra={**extra, "waiting": float(waiting), "wal_bytes": float(log)},
        )

    def check(self) -> None:
        """Read every page of the file and look for damage.

        Raises:
            JournalError: there is some.
        """
        found = self.query("PRAGMA quick_check(1)")[0][0]
        if found != "ok":
            raise JournalError(f"{self.path}: {damaged(found)}.")

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, which is one transaction.

        Raises:
            JournalError: the file cannot be read.
        """
        return self.read(lambda connection: connection.execute(sql, values).fetchall())

    def read(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        """`action` within one transaction, which sees one state of the journal.

        Raises:
            JournalError: the file cannot be read.
        """

        def attempt() -> Result:
            with self._borrowed() as connection:
                connection.execute("BEGIN")
                try:
                    return action(connection)
                finally:
                    connection.execute("ROLLBACK")

        try:
            return patiently(attempt)
        except sqlite3.Error as error:
            raise explained(error, self.path, reading=True) from error

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection of this thread's own: one query need not wait for another's."""
        with self._lock:
            if self._closed:
                raise JournalError(f"{self.path}: the journal is closed; open it again.")
            if file_identity(self.path) != self._file:  # another file has taken the place of the open one
                for stale in self._idle:
                    stale.close()
                self._idle, self._file = [], file_identity(self.path)
            connection = self._idle.pop() if self._idle else None
        connection = connection or open_reader(self.path)
        try:
            yield connection
        except BaseException:
            connection.close()  # whatever state it is in, nobody inherits it
            raise
        with self._lock:
            keep = not self._closed and len(self._idle) < _KEPT_CONNECTIONS
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
