"""`resolve`: outcomes for the decisions of a journal whose horizon has passed."""

from __future__ import annotations

import logging
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.serve.journal.codec import BAR_COLUMNS, outcome_row, read_bar
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.outcomes import Question, outcome_of
from quantum_trader.serve.journal.schema import WAITING
from quantum_trader.serve.journal.tables import Settled

_log = logging.getLogger(__name__)

ROUND = 500
"""Decisions whose bars are read in one transaction, and whose outcomes are written in one."""

# A bar's place behind the decision is counted in bars, not in hours: weekends have none. The index holds
# nothing but waiting decisions; left to itself SQLite might go through all that ever were.
_HORIZONS = f"""
SELECT DISTINCT horizon_bars FROM decisions INDEXED BY decisions_waiting WHERE state = {WAITING}
"""
_READY = f"""
SELECT d.id, d.symbol_id, s.name, d.bar_ms, d.close, d.atr, d.horizon_bars, d.barrier_atr, (
    SELECT b.bar_ms FROM bars b WHERE b.symbol_id = d.symbol_id AND b.bar_ms > d.bar_ms
    ORDER BY b.bar_ms LIMIT 1 OFFSET :horizon
) AS reach
FROM decisions d INDEXED BY decisions_waiting JOIN symbols s ON s.id = d.symbol_id
WHERE d.state = {WAITING} AND d.horizon_bars = :horizon AND reach IS NOT NULL
"""
_BARS = f"""
SELECT {", ".join(BAR_COLUMNS)} FROM bars
WHERE symbol_id = ? AND bar_ms > ? AND bar_ms <= ? ORDER BY bar_ms
"""
_REVISION = "SELECT revision FROM symbols WHERE id = ?"

ContractOf = Callable[[str], FuturesContract]


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A decision with enough bars behind it."""

    decision: int
    symbol_id: int
    reach_ms: int
    question: Question


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A decision and its bars, as they stood at one moment."""

    ready: _Ready
    revision: int
    after: Sequence[Bar]


def resolve(journal: Journal, contract_of: ContractOf, step_ms: int, *, timeout_s: float = 30.0) -> int:
    """Write the outcome of every decision whose bars are all in the journal by now.

    Only what still waits is looked at, so it costs little to call this after every bar. What a late bar
    reopens meanwhile, or another process settles, is left to the next call.

    Args:
        journal: whose decisions.
        contract_of: the contract of a symbol.
        step_ms: length of a bar.
        timeout_s: for the disk, each round.

    Returns:
        Decisions dealt with, void ones included.

    Raises:
        JournalError: the journal cannot be read or written.
        TimeoutError: the disk took longer.
    """
    ready = journal.reader.read(_all_ready)
    for first in range(0, len(ready), ROUND):
        seen = journal.reader.read(partial(_with_bars, ready[first : first + ROUND]))
        settled = [_settled(item, contract_of(item.ready.question.symbol), step_ms) for item in seen]
        journal.settle(settled).result(timeout_s)
    return len(ready)


def _all_ready(connection: sqlite3.Connection) -> list[_Ready]:
    """Every decision whose bars are there, the decisions of a symbol together, oldest first."""
    horizons = [row[0] for row in connection.execute(_HORIZONS)]
    rows = (row for horizon in horizons for row in connection.execute(_READY, {"horizon": horizon}))
    return sorted(map(_ready, rows), key=lambda item: (item.symbol_id, item.question.bar_ms))


def _ready(row: Sequence[Any]) -> _Ready:
    decision, symbol_id, symbol, bar_ms, close, atr, horizon_bars, barrier_atr, reach_ms = row
    question = Question(
        symbol=symbol,
        bar_ms=bar_ms,
        close=close,
        atr=atr,
        horizon_bars=horizon_bars,
        barrier_atr=barrier_atr,
    )
    return _Ready(decision=decision, symbol_id=symbol_id, reach_ms=reach_ms, question=question)


def _with_bars(ready: Sequence[_Ready], connection: sqlite3.Connection) -> list[_Seen]:
    """The decisions with their bars: one query a symbol, all in one transaction."""
    seen: list[_Seen] = []
    for symbol_id, group in groupby(ready, key=lambda item: item.symbol_id):
        items = list(group)
        revision = int(connection.execute(_REVISION, (symbol_id,)).fetchone()[0])
        span = (symbol_id, items[0].question.bar_ms, max(item.reach_ms for item in items))
        bars = [read_bar(row) for row in connection.execute(_BARS, span)]
        moments = [bar.timestamp for bar in bars]
        for item in items:
            first = bisect_right(moments, item.question.bar_ms)
            after = bars[first : first + item.question.bars_needed]
            if len(after) == item.question.bars_needed:
                seen.append(_Seen(ready=item, revision=revision, after=after))
    return seen


def _settled(seen: _Seen, contract: FuturesContract, step_ms: int) -> Settled:
    question = seen.ready.question
    try:
        outcome = outcome_of(question, seen.after, contract, step_ms)
    except Exception:
        # One strange contract or price must not keep all other outcomes from being written.
        _log.exception(
            "%s: no outcome can be made for the decision on bar %d", question.symbol, question.bar_ms
        )
        outcome = None
    return Settled(
        decision=seen.ready.decision,
        revision=seen.revision,
        reach_ms=seen.after[-1].timestamp,
        outcome=None if outcome is None else outcome_row(outcome),
    )
