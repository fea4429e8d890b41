"""What SQLite's errors are called, for those who write a journal and those who read it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from quantum_trader.serve.journal.connection import damaged, explained


def error(code: int, text: str = "as SQLite says it") -> sqlite3.Error:
    made = sqlite3.OperationalError(text)
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY_CANTINIT, sqlite3.SQLITE_CANTOPEN])
def test_a_reader_who_may_not_write_beside_the_file_is_told_so(code: int) -> None:
    """Nothing was to be written: "make the file writable" would send a reader the wrong way."""
    assert "cannot read the journal" in str(explained(error(code), Path("j.db"), reading=True))
    assert "cannot read" not in str(explained(error(code), Path("j.db")))


def test_a_file_of_another_kind_is_not_called_a_broken_journal_alone() -> None:
    """Whoever names a wrong file is asked to check the path before moving anything."""
    assert "check the path" in str(explained(error(sqlite3.SQLITE_NOTADB), Path("report.html")))


def test_damage_is_one_line_with_all_the_files_to_move() -> None:
    """`quick_check` answers in several lines; a log left behind would be applied to the new file."""
    said = damaged("*** in database main ***\nPage 60: error 11")
    assert "\n" not in said
    assert "*** in database main *** Page 60: error 11" in said
    assert "-wal" in said
    assert str(explained(error(sqlite3.SQLITE_CORRUPT, "malformed"), Path("j.db"))).count("malformed") == 1
