from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.monitor import columns
from quantum_trader.serve.monitor.columns import read_table
from quantum_trader.serve.monitor.newest import (
    explanation_of,
    latest_of,
    newest_ms_of,
    read_explanation,
    read_latest,
    read_newest_ms,
    read_step_ms,
)
from quantum_trader.serve.monitor.table import Coded, Table, table_of

from .a_journal import write_journal
from .simulated import HOUR, POOL, START, Truth, changed, last_bars, rows_of, simulate


def texts(column: Coded) -> list[str]:
    return [column.names[code] for code in column.codes]


def assert_equal(found: Table, expected: Table) -> None:
    for field in fields(Table):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(left, Coded):
            assert texts(left) == texts(right), field.name
        else:
            np.testing.assert_array_equal(left, right, err_msg=field.name)


@pytest.fixture
def table() -> Table:
    table = simulate(Truth(bars=40, shadow_win=0.5))
    table = changed(table, last_bars(table, 3), source="xgboost", drifted=True)
    return changed(table, table.bar_ms == START, refused=True, source="none", reason="bad bar: no close")


def test_rows_become_the_table_they_were_made_of(table: Table) -> None:
    """In any order, and an outcome of a refused bar is not waited for."""
    expected = replace(table, due=table.due & ~table.refused)
    assert_equal(table_of(rows_of(table)[::-1]), expected)


def test_a_journal_reads_as_its_rows(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL columns and Python records say the same, whatever the pages."""
    monkeypatch.setattr(columns, "_PAGE", 7)
    with JournalReader(write_journal(tmp_path / "journal.db", rows_of(table))) as reader:
        rows = reader.rows()
        assert len(rows) == len(table)
        assert_equal(read_table(reader), table_of(rows))
        chosen = Selection(since_ms=START + 5 * HOUR, until_ms=START + 9 * HOUR, symbols=("SYM1USDT",))
        part = read_table(reader, chosen)
        assert ((part.bar_ms - START) // HOUR).tolist() == [5, 6, 7, 8]
        assert set(texts(part.symbol)) == {"SYM1USDT"}
        assert len(read_table(reader, Selection(symbols=("UNKNOWN",)))) == 0
        assert len(read_table(reader, Selection(since_ms=START + 999 * HOUR))) == 0


def test_a_late_row_is_sorted_in(tmp_path: Path) -> None:
    """Rows lie in the file as they came; the table is in the order of bars."""
    rows = rows_of(simulate(Truth(bars=12, symbols=1)))
    mixed = [replace(row, id=place + 1) for place, row in enumerate(rows[6:] + rows[:6])]
    with JournalReader(write_journal(tmp_path / "journal.db", mixed)) as reader:
        assert_equal(read_table(reader), table_of(rows))


def test_the_newest_decisions_read_as_their_rows(tmp_path: Path, table: Table) -> None:
    """Latest of each symbol, when it was, the newest explanation, and the length of a bar."""
    with JournalReader(write_journal(tmp_path / "journal.db", rows_of(table))) as reader:
        rows = reader.rows()
        assert read_latest(reader, Selection()) == latest_of(rows)
        assert read_newest_ms(reader) == newest_ms_of(rows)
        assert read_newest_ms(reader, ["SYM2USDT"]).keys() == {"SYM2USDT"}
        assert read_explanation(reader, Selection()) == explanation_of(rows)
        assert read_step_ms(reader) == HOUR
        earlier = Selection(until_ms=START + 2 * HOUR)
        assert {each.bar_ms for each in read_latest(reader, earlier)} == {START + HOUR}
        assert read_latest(reader, earlier)[0].source == POOL
        assert read_explanation(reader, Selection(until_ms=START)) is None


def test_refused_and_waiting_bars_are_no_decisions(table: Table) -> None:
    """They are counted by reason and left out of everything else; models that fail are not left out."""
    table = changed(table, table.bar_ms == START + HOUR, source="none", reason="insufficient history")
    table = changed(table, table.bar_ms == START + 2 * HOUR, source="none", reason="TFT failed (OSError)")
    assert len(table.counted) == len(table) - 6
    assert "TFT failed (OSError)" in table.counted.reason.counts()
    assert table.reason.counts()["bad bar: no close"] == 3


def test_the_length_of_a_bar_survives_gaps() -> None:
    """It is the commonest distance; one bar alone has none."""
    table = simulate(Truth(bars=50, symbols=2))
    assert table.where((table.bar_ms // HOUR) % 7 < 4).step_ms == HOUR
    assert table.where(table.bar_ms == START).step_ms == 0
