"""A journal file with simulated decisions and outcomes, written by the product's own `Journal`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantum_trader.serve.journal.codec import outcome_row
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.records import JournalRow
from quantum_trader.serve.journal.tables import Settled


def write_journal(path: Path, rows: Sequence[JournalRow]) -> Path:
    """Write rows, whose ids count up from 1, to a new journal."""
    with Journal(path) as journal:
        journal.record([row.entry for row in rows], {}).result(timeout=60)
        known = ((row.id, row.outcome) for row in rows if row.outcome is not None)
        settled = [
            Settled(decision=number, revision=0, reach_ms=outcome.buy.exit_ms, outcome=outcome_row(outcome))
            for number, outcome in known
        ]
        journal.settle(settled).result(timeout=60)
    return path
