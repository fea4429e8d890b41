"""`PaperBook`: the paper accounts of a live session in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.paper_account import Mark, PaperAccount
from quantum_trader.envs.paper_log import (
    PaperFill,
    PaperLog,
    PaperTrade,
    paper_fills_frame,
    paper_trades_frame,
)
from quantum_trader.envs.paper_state import plain_number
from quantum_trader.serve.live.errors import StoreError
from quantum_trader.serve.live.feed import MarkedBar

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    symbol TEXT PRIMARY KEY, bar_ms INTEGER NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS equity (
    symbol TEXT NOT NULL, bar_ms INTEGER NOT NULL, equity REAL NOT NULL, position REAL NOT NULL,
    PRIMARY KEY (symbol, bar_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trades (
    symbol TEXT NOT NULL, number INTEGER NOT NULL, entry_ms INTEGER NOT NULL, exit_ms INTEGER NOT NULL,
    net_pnl REAL NOT NULL, numbers TEXT NOT NULL, PRIMARY KEY (symbol, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fills (
    symbol TEXT NOT NULL, number INTEGER NOT NULL, bar_ms INTEGER NOT NULL, numbers TEXT NOT NULL,
    PRIMARY KEY (symbol, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (
    symbol TEXT NOT NULL, bar_ms INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    PRIMARY KEY (symbol, bar_ms)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS late_funding (
    symbol TEXT NOT NULL, bar_ms INTEGER NOT NULL, rate REAL NOT NULL,
    PRIMARY KEY (symbol, bar_ms)) WITHOUT ROWID;
"""
_VERSION = 1
_BUSY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class SavedAccount:
    """An account as it was last committed."""

    bar_ms: int
    """Newest bar it has seen."""
    state: dict[str, Any]
    """Of `PaperAccount.state`, without trades and fills."""


class PaperBook:
    """Accounts, their equity at every bar, trades and fills; what one bar changes is committed together.

    Args:
        path: the file; made where it is missing.
        read_only: for looking at the book of a session that runs; the file must exist then.

    Raises:
        StoreError: from every method: the file cannot be read or written, or is no book of accounts.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        if read_only and not path.is_file():
            raise StoreError(f"{path}: there is no such file; give the folder of a live session.")
        with self._explained():
            where = f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            self._connection = sqlite3.connect(where, uri=True, timeout=_BUSY_S, isolation_level=None)
            if not read_only:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version in (0, _VERSION) and not read_only:
                self._connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
            elif version != _VERSION:
                raise StoreError(
                    f"{path}: this is version {version} of the book of paper accounts, this software reads "
                    f"{_VERSION}; use the software that wrote it, or another folder."
                )

    def load(self, symbol: str) -> SavedAccount | None:
        """The account of `symbol` as it was last saved; None where there is none."""
        rows = self._rows("SELECT bar_ms, state FROM accounts WHERE symbol = ?", symbol)
        if not rows:
            return None
        try:
            return SavedAccount(bar_ms=rows[0][0], state=json.loads(rows[0][1]))
        except ValueError as error:
            raise StoreError(
                f"{self.path}: the account of {symbol} is damaged; use another folder."
            ) from error

    def save(self, accounts: Mapping[str, PaperAccount], points: Mapping[str, list[EquityPoint]]) -> None:
        """Commit accounts with what they have logged since they were last saved; it is on disk afterwards.

        Args:
            accounts: by symbol; their logs are drained.
            points: equity at the bars since then, by symbol.
        """
        with self._explained(), self._transaction():
            for symbol, account in accounts.items():
                self._add_account(symbol, account, points.get(symbol, []))

    def save_marks(self, marks: Mapping[str, tuple[int, Mark | None]]) -> None:
        """Commit the mark prices of bars that accounts will meet; before the journal has the bars.

        Args:
            marks: by symbol, a bar's open and its mark price; None forgets one of an earlier attempt.
        """
        with self._explained(), self._transaction():
            for symbol, (bar_ms, mark) in marks.items():
                self._forget_marks(symbol, bar_ms)
                if mark is not None:
                    values = (symbol, bar_ms, mark.open, mark.high, mark.low, mark.close)
                    self._connection.execute("INSERT INTO marks VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget_marks(self, symbol: str, after_ms: int) -> None:
        """Delete mark prices of bars that the journal never got: another start may find others, or none."""
        if self._rows("SELECT 1 FROM marks WHERE symbol = ? AND bar_ms > ? LIMIT 1", symbol, after_ms):
            with self._explained(), self._transaction():
                self._forget_marks(symbol, after_ms + 1)

    def restate(
        self, account: PaperAccount, points: Sequence[EquityPoint], rates: Mapping[int, float]
    ) -> None:
        """Replace what the account did from the first bar of `rates` on, all in one commit.

        Args:
            account: stepped again through these bars; its log is drained.
            points: equity at them.
            rates: funding that was published late, by the open of its bar.
        """
        symbol, first_ms = account.symbol, min(rates)
        with self._explained(), self._transaction():
            for table, column in (("trades", "exit_ms"), ("fills", "bar_ms"), ("equity", "bar_ms")):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE symbol = ? AND {column} >= ?", (symbol, first_ms)
                )
            self._connection.executemany(
                "INSERT OR REPLACE INTO late_funding VALUES (?, ?, ?)",
                [(symbol, bar_ms, rate) for bar_ms, rate in rates.items()],
            )
            self._add_account(symbol, account, points)

    def completed(
        self, symbol: str, bars: Sequence[Bar], rates: Mapping[int, float] | None = None
    ) -> list[MarkedBar]:
        """Bars of the journal as the account meets them: with mark prices, and funding that came late.

        Args:
            symbol: whose.
            bars: oldest first.
            rates: funding that the book does not have yet, by the open of its bar.
        """
        if not bars:
            return []
        span = (symbol, bars[0].timestamp, bars[-1].timestamp)
        chosen = "WHERE symbol = ? AND bar_ms BETWEEN ? AND ?"
        late = dict(self._rows(f"SELECT bar_ms, rate FROM late_funding {chosen}", *span)) | dict(rates or {})
        found = self._rows(f"SELECT bar_ms, open, high, low, close FROM marks {chosen}", *span)
        marks = {row[0]: Mark(open=row[1], high=row[2], low=row[3], close=row[4]) for row in found}
        return [
            MarkedBar(
                **{**vars(bar), "funding_rate": late.get(bar.timestamp, bar.funding_rate)},
                mark=marks.get(bar.timestamp),
            )
            for bar in bars
        ]

    def begun_ms(self, symbol: str) -> int | None:
        """Open of the first bar that an account has traded on; None where there is none."""
        first = self._rows("SELECT MIN(bar_ms) FROM equity WHERE symbol = ?", symbol)[0][0]
        return None if first is None else int(first)

    def symbols(self) -> list[str]:
        """Symbols that have an account, by name."""
        return [row[0] for row in self._rows("SELECT symbol FROM accounts ORDER BY symbol")]

    def won_and_lost(self, symbol: str) -> tuple[int, int]:
        """Closed trades with a profit after costs, and without."""
        counted = "COALESCE(SUM(net_pnl > 0), 0), COALESCE(SUM(net_pnl <= 0), 0)"
        won, lost = self._rows(f"SELECT {counted} FROM trades WHERE symbol = ?", symbol)[0]
        return int(won), int(lost)

    def trades(self, symbol: str) -> pd.DataFrame:
        """Closed trades; columns as `quantum_trader.envs.records.trades_frame`."""
        query = "SELECT entry_ms, exit_ms, numbers FROM trades WHERE symbol = ? ORDER BY number"
        return paper_trades_frame(
            [
                PaperTrade(entry_ms=entry, exit_ms=end, values=_numbers(text))
                for entry, end, text in self._rows(query, symbol)
            ]
        )

    def fills(self, symbol: str) -> pd.DataFrame:
        """Executions; columns as `quantum_trader.envs.records.fills_frame`."""
        query = "SELECT bar_ms, numbers FROM fills WHERE symbol = ? ORDER BY number"
        return paper_fills_frame(
            [PaperFill(bar_ms=bar, values=_numbers(text)) for bar, text in self._rows(query, symbol)]
        )

    def equity(self, symbol: str) -> pd.DataFrame:
        """One row per bar: time (UTC, bar open), equity (quote currency), position (signed base units)."""
        query = "SELECT bar_ms, equity, position FROM equity WHERE symbol = ? ORDER BY bar_ms"
        frame = pd.DataFrame(self._rows(query, symbol), columns=["time", "equity", "position"])
        frame["time"] = pd.to_datetime(frame["time"].astype("int64"), unit="ms", utc=True)
        return frame.astype({"equity": "float64", "position": "float64"})

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        self._connection.close()

    def _forget_marks(self, symbol: str, first_ms: int) -> None:
        self._connection.execute("DELETE FROM marks WHERE symbol = ? AND bar_ms >= ?", (symbol, first_ms))

    def _add_account(self, symbol: str, account: PaperAccount, points: Sequence[EquityPoint]) -> None:
        self._add_log(symbol, account)
        self._connection.executemany(
            "INSERT OR REPLACE INTO equity VALUES (?, ?, ?, ?)",
            [(symbol, point.bar_ms, point.equity, point.position) for point in points],
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)",
            (symbol, account.last_timestamp, json.dumps(account.state(), allow_nan=False)),
        )

    def _add_log(self, symbol: str, account: PaperAccount) -> None:
        log: PaperLog = account.drain()
        trades = int(account.info["trades"]) - len(log.trades)
        self._connection.executemany(
            "INSERT OR REPLACE INTO trades VALUES (?, ?, ?, ?, ?, ?)",
            [
                (symbol, trades + i, trade.entry_ms, trade.exit_ms, trade.net_pnl, _text(trade.values))
                for i, trade in enumerate(log.trades)
            ],
        )
        fills = account.executions - len(log.fills)
        self._connection.executemany(
            "INSERT OR REPLACE INTO fills VALUES (?, ?, ?, ?)",
            [(symbol, fills + i, fill.bar_ms, _text(fill.values)) for i, fill in enumerate(log.fills)],
        )

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends it by itself when the disk is full
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path}: cannot be read or written ({error}); check disk space and permissions."
            ) from error


@dataclass(frozen=True, kw_only=True)
class EquityPoint:
    """An account at the close of one bar."""

    bar_ms: int
    equity: float
    position: float


def _text(values: tuple[float, ...]) -> str:
    return json.dumps([plain_number(value) for value in values])


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in json.loads(text))
