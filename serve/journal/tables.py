"""`Tables`: what one write transaction does to the rows of the journal.

What is known stays. The first decision on a bar is kept and a second one only counted, whatever it says: bots
act on the first answer. A bar that is known already stays as it is, too. A refusal (a bar that was not taken
in) never stands in a decision's way, and each kind of refusal of a bar is kept once.

Outcomes are at any time what the bars in the journal say: a bar that arrives late, between others, reopens
the outcomes that were made without it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.codec import (
    BAR_COLUMNS,
    COMPARED,
    ENTRY_COLUMNS,
    OUTCOME_COLUMNS,
    Row,
    bar_row,
)
from quantum_trader.serve.journal.schema import RESOLVED, VOID, WAITING

_INSERT_DECISION = (
    f"INSERT INTO decisions (symbol_id, {', '.join(ENTRY_COLUMNS)}) "
    f"VALUES (?{', ?' * len(ENTRY_COLUMNS)}) ON CONFLICT DO NOTHING"
)
_KNOWN_DECISION = (
    f"SELECT {', '.join(COMPARED)} FROM decisions WHERE symbol_id = ? AND bar_ms = ? AND refusal = ?"
)
_COMPARED_PLACES = [ENTRY_COLUMNS.index(name) for name in COMPARED]
_REFUSAL = ENTRY_COLUMNS.index("refusal")

_INSERT_BAR = f"INSERT INTO bars (symbol_id, {', '.join(BAR_COLUMNS)}) VALUES (?{', ?' * len(BAR_COLUMNS)})"
_KNOWN_BARS = f"SELECT {', '.join(BAR_COLUMNS)} FROM bars WHERE symbol_id = ? AND bar_ms BETWEEN ? AND ?"
_NEWEST_BAR = "SELECT max(bar_ms) FROM bars WHERE symbol_id = ?"

_INSERT_OUTCOME = (
    f"INSERT INTO outcomes (decision_id, {', '.join(OUTCOME_COLUMNS)}) "
    f"VALUES (?{', ?' * len(OUTCOME_COLUMNS)})"
)
_SETTLE = f"""
UPDATE decisions SET state = ?, reach_ms = ?
WHERE id = ? AND state = {WAITING} AND (SELECT revision FROM symbols WHERE id = symbol_id) = ?
"""
_LATE = "symbol_id = ? AND bar_ms < ? AND reach_ms >= ?"
_FORGET = f"DELETE FROM outcomes WHERE decision_id IN (SELECT id FROM decisions WHERE {_LATE})"
_REOPEN = f"UPDATE decisions SET state = {WAITING}, reach_ms = NULL WHERE {_LATE}"


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of one decision, as it is written."""

    decision: int
    """Its id."""
    revision: int
    """The symbol's revision when its bars were read; bars that came in since make the answer stale."""
    reach_ms: int
    """Open of the last bar that was looked at."""
    outcome: Row | None
    """Values of `OUTCOME_COLUMNS`; None where the outcome is void."""


class Tables:
    """Writes within the caller's transactions.

    Args:
        connection: of `quantum_trader.serve.journal.connection.open_writer`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._symbols: dict[str, int] = {}
        self._counts: Counter[str] = Counter()

    def add_decision(self, symbol: str, row: Row) -> None:
        """Keep a decision, values of `ENTRY_COLUMNS`, unless the bar has one already."""
        number = self._symbol(symbol)
        if self._connection.execute(_INSERT_DECISION, (number, *row)).rowcount == 1:
            self._counts["decisions"] += 1
            return
        self._counts["repeated_decisions"] += 1
        known = self._connection.execute(_KNOWN_DECISION, (number, row[0], row[_REFUSAL])).fetchone()
        if known != tuple(row[place] for place in _COMPARED_PLACES):
            self._counts["differing_decisions"] += 1

    def add_bars(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Keep those of the bars that are not known yet, in any order."""
        rows = {row[0]: row for row in map(bar_row, bars)}
        if not rows:
            return
        number = self._symbol(symbol)
        known = {row[0]: row for row in self._connection.execute(_KNOWN_BARS, (number, min(rows), max(rows)))}
        again = rows.keys() & known.keys()
        self._counts["repeated_bars"] += len(again)
        self._counts["differing_bars"] += sum(rows[moment] != known[moment] for moment in again)
        fresh = sorted(rows.keys() - known.keys())
        if fresh:
            newest = self._connection.execute(_NEWEST_BAR, (number,)).fetchone()[0]
            self._connection.executemany(_INSERT_BAR, [(number, *rows[moment]) for moment in fresh])
            self._counts["bars"] += len(fresh)
            if newest is not None and fresh[0] < newest:
                self._reopen(number, fresh[0], min(fresh[-1], newest))

    def settle(self, settled: Settled) -> None:
        """Write what became of a decision, unless it was reopened or settled since."""
        void = settled.outcome is None
        values = (VOID if void else RESOLVED, settled.reach_ms, settled.decision, settled.revision)
        if self._connection.execute(_SETTLE, values).rowcount == 0:
            return
        self._counts["void" if void else "outcomes"] += 1
        if settled.outcome is not None:
            self._connection.execute(_INSERT_OUTCOME, (settled.decision, *settled.outcome))

    def finish(self) -> None:
        """Bring the totals up to date: the last thing in a transaction."""
        changes = [(change, name) for name, change in self._counts.items() if change]
        self._connection.executemany("UPDATE totals SET value = value + ? WHERE name = ?", changes)
        self._counts.clear()

    def undo(self) -> None:
        """The transaction was undone: symbols that it made are not there."""
        self._symbols.clear()
        self._counts.clear()

    def _reopen(self, symbol: int, first_ms: int, last_ms: int) -> None:
        """Bars from `first_ms` to `last_ms` have come in late: what was settled without them waits again."""
        span = (symbol, last_ms, first_ms)
        forgotten = self._connection.execute(_FORGET, span).rowcount
        reopened = self._connection.execute(_REOPEN, span).rowcount
        self._counts["outcomes"] -= forgotten
        self._counts["void"] -= reopened - forgotten
        self._connection.execute("UPDATE symbols SET revision = revision + 1 WHERE id = ?", (symbol,))

    def _symbol(self, name: str) -> int:
        if name not in self._symbols:
            self._connection.execute("INSERT INTO symbols (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            row = self._connection.execute("SELECT id FROM symbols WHERE name = ?", (name,)).fetchone()
            self._symbols[name] = int(row[0])
        return self._symbols[name]
