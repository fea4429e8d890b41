"""The tables of the journal, and which version of them a file holds.

A decision's `state` says what is known of its outcome: it waits for the bars of its horizon, it is resolved,
it is void (an over-long gap lies in its horizon), or it can never have one (no ATR, or the bar was refused).
`reach_ms` is the last bar that the answer was taken from, so that a bar that arrives late reopens exactly the
outcomes it could change.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from quantum_trader.serve.journal.errors import JournalError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x51544A31
"""Marks an SQLite file as a journal ("QTJ1")."""
OLDEST_SQLITE = (3, 37, 0)
"""The first with STRICT tables."""

WAITING, RESOLVED, VOID, NEVER = range(4)

TOTALS = (
    "decisions",
    "outcomes",
    "bars",
    "void",
    "repeated_decisions",
    "differing_decisions",
    "repeated_bars",
    "differing_bars",
)
"""Counters that every transaction keeps, so that nobody has to count rows.

A repeated row is one that was offered again; it differs where its content is not what the journal holds.
"""

_TABLES = f"""
CREATE TABLE symbols (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL DEFAULT 0  -- grows when a bar arrives that is older than the newest
) STRICT;

CREATE TABLE bars (
    symbol_id INTEGER NOT NULL REFERENCES symbols (id),
    bar_ms INTEGER NOT NULL,
    open REAL NOT NULL,
    high REAL NOT NULL,
    low REAL NOT NULL,
    close REAL NOT NULL,
    volume REAL NOT NULL,
    funding_rate REAL,
    PRIMARY KEY (symbol_id, bar_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    symbol_id INTEGER NOT NULL REFERENCES symbols (id),
    bar_ms INTEGER NOT NULL,
    refusal TEXT NOT NULL,  -- kind of refusal; '' where the bar was taken in
    decided_ms INTEGER NOT NULL,
    action INTEGER NOT NULL CHECK (action IN (0, 1, 2)),
    confidence REAL NOT NULL,
    hold REAL NOT NULL,
    buy REAL NOT NULL,
    sell REAL NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    latency_ms REAL NOT NULL,
    close REAL,
    atr REAL,
    warming_up INTEGER NOT NULL CHECK (warming_up IN (0, 1)),
    warnings TEXT NOT NULL,
    shadow_action INTEGER CHECK (shadow_action IN (0, 1, 2)),
    shadow_confidence REAL,
    shadow_hold REAL,
    shadow_buy REAL,
    shadow_sell REAL,
    votes TEXT NOT NULL,
    quantiles BLOB NOT NULL,
    attention BLOB NOT NULL,
    importances BLOB NOT NULL,
    horizon_bars INTEGER NOT NULL,
    barrier_atr REAL NOT NULL,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
    reach_ms INTEGER,
    UNIQUE (symbol_id, bar_ms, refusal)
) STRICT;
CREATE INDEX decisions_by_bar ON decisions (bar_ms);
CREATE INDEX decisions_waiting ON decisions (horizon_bars, symbol_id, bar_ms) WHERE state = {WAITING};

CREATE TABLE outcomes (
    decision_id INTEGER PRIMARY KEY REFERENCES decisions (id) ON DELETE CASCADE,
    label INTEGER NOT NULL CHECK (label IN (0, 1, 2)),
    buy_exit_ms INTEGER NOT NULL,
    buy_exit_reason TEXT NOT NULL,
    buy_entry_price REAL NOT NULL,
    buy_exit_price REAL NOT NULL,
    buy_gross_return REAL NOT NULL,
    buy_net_return REAL NOT NULL,
    sell_exit_ms INTEGER NOT NULL,
    sell_exit_reason TEXT NOT NULL,
    sell_entry_price REAL NOT NULL,
    sell_exit_price REAL NOT NULL,
    sell_gross_return REAL NOT NULL,
    sell_net_return REAL NOT NULL
) STRICT;

CREATE TABLE totals (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


def check_file(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file holds a journal already; False for an empty one.

    Raises:
        JournalError: it is an SQLite file of something else, or a journal of a newer version.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    kind = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if kind == 0 and tables == 0:
        return False
    if kind != APPLICATION_ID:
        raise JournalError(f"{path}: this SQLite file is no journal of quantum-trader; name another file.")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path}: the journal has schema version {version}, this software knows up to {SCHEMA_VERSION}; "
            "upgrade quantum-trader or name another file."
        )
    return True


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, within the caller's transaction."""
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.executemany("INSERT INTO totals VALUES (?, 0)", [(name,) for name in TOTALS])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
