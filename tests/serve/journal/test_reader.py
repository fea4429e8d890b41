from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.reader import JournalReader, Selection

from .made import HOUR, SOON_S, bars, entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three symbols, thirty bars each, recorded bar by bar."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        for step in range(30):
            journal.record([entry(symbol, step) for symbol in "ABC"], {}).result(SOON_S)
        journal.record([], {symbol: bars(30) for symbol in "ABC"}).result(SOON_S)
    return path


def steps(reader: JournalReader, **chosen: object) -> list[tuple[str, int]]:
    rows = reader.rows(**chosen)  # type: ignore[arg-type]
    return [(row.entry.symbol, row.entry.bar_ms // HOUR) for row in rows]


def test_rows_are_chosen_by_time_and_symbol(path: Path) -> None:
    """The start belongs to the range, the end does not; unknown symbols have no rows."""
    with JournalReader(path) as reader:
        assert steps(reader, since_ms=10 * HOUR, until_ms=12 * HOUR) == [
            (s, k) for k in (10, 11) for s in "ABC"
        ]
        assert steps(reader, symbols=["B"], since_ms=28 * HOUR) == [("B", 28), ("B", 29)]
        assert steps(reader, symbols=["B", "nobody"], until_ms=HOUR) == [("B", 0)]
        assert steps(reader, symbols=[]) == []
        assert len(reader.rows()) == 90


def test_limits_and_order(path: Path) -> None:
    """The newest come first where asked, and a limit counts from the side that comes first."""
    with JournalReader(path) as reader:
        assert steps(reader, limit=4) == [("A", 0), ("B", 0), ("C", 0), ("A", 1)]
        assert steps(reader, limit=2, newest_first=True, symbols=["A"]) == [("A", 29), ("A", 28)]
        assert steps(reader, limit=0) == []


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("size", [1, 7, 90, 91])
def test_pages_together_are_all_rows(path: Path, size: int, newest_first: bool) -> None:
    """Whatever the size of a page, nothing is missing, doubled or out of order, with a limit as well."""
    with JournalReader(path) as reader:
        whole = reader.rows(newest_first=newest_first)
        for limit in (None, 50):
            pages = reader.pages(Selection(), size=size, newest_first=newest_first, limit=limit)
            assert [row for page in pages for row in page] == whole[:limit]


def test_bars_are_chosen_by_time_and_number(path: Path) -> None:
    """`last` takes the newest, `since_ms` starts at a bar, and pages are all of them."""
    with JournalReader(path) as reader:
        moments = [bar.timestamp // HOUR for bar in reader.bars("A", last=3)]
        assert moments == [27, 28, 29]
        assert [bar.timestamp // HOUR for bar in reader.bars("A", since_ms=28 * HOUR)] == [28, 29]
        assert reader.bars("nobody") == []
        paged = reader.bar_pages("A", since_ms=3 * HOUR, until_ms=20 * HOUR, size=4)
        assert [bar.timestamp // HOUR for page in paged for bar in page] == list(range(3, 20))


def test_a_reader_cannot_write(path: Path) -> None:
    """Its connections refuse any statement that changes the file."""
    with JournalReader(path) as reader, pytest.raises(JournalError):
        reader.query("DELETE FROM decisions")


def test_many_threads_share_one_reader(path: Path) -> None:
    """Twelve threads reading through one reader all get everything."""
    found: list[int] = []
    with JournalReader(path) as reader:
        threads = [threading.Thread(target=lambda: found.append(len(reader.rows()))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [90] * 12


def test_a_closed_reader_says_so(path: Path) -> None:
    """Reading after closing is an error of one sentence; closing twice is none."""
    reader = JournalReader(path)
    reader.close()
    reader.close()
    with pytest.raises(JournalError, match="closed"):
        reader.rows()


def test_there_must_be_a_journal(tmp_path: Path) -> None:
    """A missing path, a folder and an empty file are told apart from a journal, and nothing is made."""
    for name in ("missing.db", "."):
        with pytest.raises(JournalError, match="no journal"):
            JournalReader(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(JournalError, match="empty"):
        JournalReader(tmp_path / "empty.db")


def test_totals_are_what_counting_gives(path: Path) -> None:
    """The counters kept by every transaction agree with the rows."""
    with JournalReader(path) as reader:
        state = reader.state()
    with sqlite3.connect(path) as connection:
        for table, total in (
            ("decisions", state.decisions),
            ("outcomes", state.outcomes),
            ("bars", state.bars),
        ):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == total
    connection.close()
    assert state.bytes == path.stat().st_size
