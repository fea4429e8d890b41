"""Connections to the journal's file, and what SQLite's errors mean to a user.

WAL: readers see the last commit and never wait for the writer, nor it for them. synchronous=FULL: a commit is
on disk when it returns. Every write transaction begins IMMEDIATE, because one that starts by reading and
writes later can be refused at once however long it is willing to wait.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.schema import OLDEST_SQLITE, check_file, create_tables

Result = TypeVar("Result")

_PATIENCE_S = 30.0
"""Opening and reading wait so long for another process; both take milliseconds when all is well."""
_LONGEST_PAUSE_S = 0.25
_BUSY_CODES = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED_OUT_CODES = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_DISK_CODES = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
)


def primary_code(error: Exception) -> int:
    """SQLite's primary result code, 0 where the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_busy(error: Exception) -> bool:
    """Whether another connection was in the way: worth waiting for."""
    return primary_code(error) in _BUSY_CODES


def is_outside_fault(error: Exception) -> bool:
    """Whether disk, file or another process are at fault, rather than the rows that were to be written."""
    return primary_code(error) in (*_BUSY_CODES, *_DISK_CODES, *_DAMAGE_CODES)


def needs_reopening(error: Exception) -> bool:
    """Whether a new connection may get further than this one."""
    return primary_code(error) in (*_DAMAGE_CODES, *(set(_DISK_CODES) - {sqlite3.SQLITE_FULL}))


def explained(error: Exception, path: Path, *, reading: bool = False) -> JournalError:
    """What an error of SQLite means and what to do, in one sentence.

    Args:
        error: what was raised.
        path: the journal's file.
        reading: whether the file was to be read only.
    """
    code = primary_code(error)
    if reading and code in _LOCKED_OUT_CODES:
        what = (
            "this user cannot read the journal: while nobody writes it, SQLite has to make a file beside it; "
            "make its folder writable, or copy it to a folder that is"
        )
    elif code == sqlite3.SQLITE_FULL:
        what = "the disk is full; free some space"
    elif code in _BUSY_CODES:
        what = "another program keeps the journal from being written; close what holds a transaction open"
    elif code == sqlite3.SQLITE_READONLY:
        what = "the file cannot be written; make the file and its folder writable"
    elif isinstance(error, OSError) or code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        what = "the file cannot be opened; check that its folder exists and may be written"
    elif code == sqlite3.SQLITE_NOTADB:
        what = f"the file is damaged or no journal ({error}); check the path, or move the file aside"
    elif code in _DAMAGE_CODES:
        what = damaged(str(error))
    elif code in _DISK_CODES:
        what = f"the disk failed ({error}); check its health and free space"
    else:
        what = f"SQLite cannot use it ({error}); check the file with `quantum-trader journal info`"
    return JournalError(f"{path}: {what}.")


def damaged(found: str) -> str:
    """What to say of a file in which damage was found."""
    return (
        f"the file is damaged ({' '.join(found.split())}); export the times or symbols that can be read, "
        "then move it aside with its -wal and -shm files: a new one is made"
    )


def patiently(action: Callable[[], Result], *, patience_s: float = _PATIENCE_S) -> Result:
    """`action()`, again and again while another connection is in the way.

    SQLite's own waiting is not enough: switching a new file to WAL and recovering one after a crash answer
    "busy" at once.
    """
    deadline, pause = time.monotonic() + patience_s, 0.002
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def open_writer(path: Path, *, busy_ms: int, checkpoint_by_itself: bool = True) -> sqlite3.Connection:
    """A connection that writes; the file and its tables are made where they are missing.

    Args:
        path: the journal's file.
        busy_ms: how long a statement waits for another connection.
        checkpoint_by_itself: False leaves moving the write-ahead log into the file to the caller.

    Raises:
        JournalError: the file cannot be opened, is damaged, is no journal, or is of a newer version.
    """
    _check_sqlite()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise explained(error, path) from error
    try:
        patiently(lambda: _prepare(connection, path))
        connection.execute(f"PRAGMA wal_autocheckpoint = {1000 if checkpoint_by_itself else 0}")
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read.

    Raises:
        JournalError: there is no such file, it is damaged, no journal, or of a newer version.
    """
    _check_sqlite()
    if not path.is_file():
        raise JournalError(f"{path}: there is no journal; check the path, or start serve or live first.")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(
            uri, uri=True, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise explained(error, path, reading=True) from error
    try:
        connection.execute("PRAGMA query_only = ON")
        if not patiently(lambda: check_file(connection, path)):
            raise JournalError(f"{path}: the file is empty, not a journal; check the path.")
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path, reading=True) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: committed to disk at the end, or undone as if it had never been."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # The file is looked at before anything is set: a foreign one must stay as it is.
    known = check_file(connection, path)
    if not known:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has no effect once a page is written
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    if not known:
        with transaction(connection):
            if not check_file(connection, path):  # another process may have been faster
                create_tables(connection)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise JournalError(
            f"The journal needs SQLite {oldest} or newer, Python was built with {sqlite3.sqlite_version}; "
            "use a newer Python."
        )
