"""`Checkpoints`: the write-ahead log is moved into the file after commits are acknowledged, not in them."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

_log = logging.getLogger(__name__)

_ROWS = 2_000
"""Rows after which the log is moved even though there is work: about 4 MB."""
_TOO_LONG_BYTES = 32 << 20
"""A log of this size has to shrink: new readers wait a moment for the old ones to finish."""
_WAIT_FOR_READERS_MS = 200


class Checkpoints:
    """Keeps the write-ahead log small for one connection.

    A passive checkpoint moves what no reader still needs and waits for nobody. Readers here never keep a
    transaction open, but another program might: then the log grows until it ends, which cannot be helped.

    Args:
        connection: that writes.
        path: the journal's file.
        busy_ms: how long the connection waits for others, restored after it was changed.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, busy_ms: int) -> None:
        self._connection = connection
        self._path = path
        self._busy_ms = busy_ms
        self._rows = 0
        self._file = file_identity(path)

    @property
    def due(self) -> bool:
        """Whether something is left to move."""
        return self._rows > 0

    @property
    def file_was_replaced(self) -> bool:
        """Whether the path leads to another file than the one that is open, or to none.

        SQLite goes on writing to a deleted file without a word.
        """
        return file_identity(self._path) != self._file

    def after_commit(self, rows: int) -> None:
        """Count what was written; move it when it is much."""
        self._rows += max(rows, 1)
        if self._rows >= _ROWS:
            self.when_idle()

    def when_idle(self) -> None:
        """Move the log into the file."""
        if not self.due:
            return
        try:
            if wal_bytes(self._path) > _TOO_LONG_BYTES:
                self._shrink()
            _, frames, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._rows = 0 if frames == moved else 1
        except sqlite3.Error as error:
            # Nothing is lost: what was committed lies in the log, and the next attempt moves it.
            _log.warning("%s: the write-ahead log could not be moved (%s)", self._path, error)
            self._rows = 1

    def _shrink(self) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {_WAIT_FOR_READERS_MS}")
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {self._busy_ms}")


def wal_bytes(path: Path) -> int:
    """Size of the write-ahead log beside `path`; 0 where there is none."""
    # Files of SQLite are never opened here: closing one would let go of the process's locks on it.
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return 0


def file_identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
