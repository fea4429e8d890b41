from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from quantum_trader.serve.journal import checkpoint
from quantum_trader.serve.journal.checkpoint import wal_bytes
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.pending import Job
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.schema import SCHEMA_VERSION

from .made import SOON_S, bar, bars, entry, full_entry

LIMITED = Path(__file__).with_name("limited_disk.py")


def wait_for_no_fault(journal: Journal) -> None:
    deadline = time.monotonic() + SOON_S
    while (state := journal.state()).fault or state.pending:
        assert time.monotonic() < deadline, state
        time.sleep(0.05)


# Files that are no journal


def test_a_newer_journal_is_not_touched(tmp_path: Path) -> None:
    """A file of a later version is refused by readers and writers with both numbers and the remedy."""
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    for opened in (Journal, JournalReader):
        with pytest.raises(JournalError, match=f"version {SCHEMA_VERSION + 1}.*upgrade"):
            opened(path)
    assert path.read_bytes() == before


def test_a_foreign_database_is_not_touched(tmp_path: Path) -> None:
    """An SQLite file of another program stays as it is, byte for byte."""
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE trades (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    for opened in (Journal, JournalReader):
        with pytest.raises(JournalError, match="no journal of quantum-trader"):
            opened(path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["theirs.db"]


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 40, b"short"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no SQLite file end in one sentence with the remedy, not in a traceback of SQLite's."""
    path = tmp_path / "j.db"
    path.write_bytes(content)
    for opened in (Journal, JournalReader):
        with pytest.raises(JournalError, match="damaged or no journal"):
            opened(path)
    assert path.read_bytes() == content


def test_damage_inside_the_file_is_found(tmp_path: Path) -> None:
    """Overwritten pages are named by `check` and by reading, as a JournalError."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.record([full_entry(step=step) for step in range(500)], {"BTCUSDT": bars(500)}).result(SOON_S)
    content = bytearray(path.read_bytes())
    for page in range(10, len(content) // 4096, 3):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(content)
    with JournalReader(path) as reader:
        with pytest.raises(JournalError, match="damaged"):
            reader.check()
        with pytest.raises(JournalError):
            reader.rows()


@pytest.mark.parametrize("path", ["/proc/nowhere/j.db", "."])
def test_a_place_that_cannot_be_written_is_named(path: str) -> None:
    """A folder that cannot be made, and a folder in the file's place."""
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(Path(path))


# Other programs


def test_a_program_that_holds_the_journal_delays_and_is_named(tmp_path: Path) -> None:
    """While somebody keeps the write lock decisions fail in words; afterwards all are written."""
    path = tmp_path / "j.db"
    with Journal(path, JournalConfig(busy_s=0.2)) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another program keeps the journal"):
            journal.record([entry(step=0)], {}).result(SOON_S)
        quick = journal.record([entry(step=1)], {})
        assert isinstance(quick.exception(timeout=0), JournalError)
        state = journal.state()
        assert "locked" not in state.fault
        assert (state.pending, state.decisions) == (2, 0)
        other.execute("ROLLBACK")
        wait_for_no_fault(journal)
        assert journal.state().decisions == 2
        other.close()


def test_a_short_wait_for_another_program_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write lock that is given back in time only delays the commit."""
    path = tmp_path / "j.db"
    begun = threading.Event()
    with Journal(path, JournalConfig(busy_s=SOON_S)) as journal:
        transact = journal._writer._transact

        def noted(jobs: Sequence[Job]) -> None:
            begun.set()
            transact(jobs)

        monkeypatch.setattr(journal._writer, "_transact", noted)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        future = journal.record([entry()], {})
        assert begun.wait(SOON_S)
        assert not future.done()
        other.execute("ROLLBACK")
        future.result(SOON_S)
        other.close()


def test_a_long_reader_blocks_nobody(tmp_path: Path) -> None:
    """A transaction left open by a reader keeps its old view while decisions go on being written."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.record([entry(step=0)], {}).result(SOON_S)
        slow = sqlite3.connect(path, isolation_level=None)
        slow.execute("BEGIN")
        assert slow.execute("SELECT count(*) FROM decisions").fetchone() == (1,)
        for step in range(1, 51):
            journal.record([full_entry(step=step)], {"BTCUSDT": [bar(step)]}).result(SOON_S)
        assert slow.execute("SELECT count(*) FROM decisions").fetchone() == (1,)
        assert journal.state().decisions == 51
        slow.execute("ROLLBACK")
        slow.close()


def test_the_write_ahead_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside readers that never stop, many times the log's limit can be written and it does not grow."""
    monkeypatch.setattr(checkpoint, "_ROWS", 100)
    monkeypatch.setattr(checkpoint, "_TOO_LONG_BYTES", 1 << 20)
    monkeypatch.setattr(checkpoint, "_WAIT_FOR_READERS_MS", int(SOON_S * 1_000))  # a reader may be held up
    path = tmp_path / "j.db"
    stop = threading.Event()
    with Journal(path) as journal:

        def read() -> None:
            with JournalReader(path) as reader:
                while not stop.is_set():
                    reader.rows(limit=500)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for thread in readers:
            thread.start()
        largest = 0
        for step in range(60):
            journal.record([full_entry(f"S{k}", step) for k in range(100)], {}).result(SOON_S)
            largest = max(largest, wal_bytes(path))
        stop.set()
        for thread in readers:
            thread.join()
    assert path.stat().st_size > 4 << 20
    assert largest < 2 << 20


# The disk


def test_a_deleted_file_is_begun_anew(tmp_path: Path) -> None:
    """Nothing is acknowledged into a file that nobody can find any more: what comes next is in a new one."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.record([entry(step=0)], {}).result(SOON_S)
        for name in ("j.db", "j.db-wal", "j.db-shm"):
            (tmp_path / name).unlink()
        journal.record([entry(step=1)], {}).result(SOON_S)
        with JournalReader(path) as reader:
            assert [row.entry for row in reader.rows()] == [entry(step=1)]
        assert [row.entry for row in journal.reader.rows()] == [entry(step=1)]


def test_a_folder_that_is_moved_away_is_made_again(tmp_path: Path) -> None:
    """The folder of the journal disappears: the next decision stands in a new file in its place."""
    path = tmp_path / "folder" / "j.db"
    with Journal(path) as journal:
        journal.record([entry(step=0)], {}).result(SOON_S)
        shutil.move(str(tmp_path / "folder"), str(tmp_path / "elsewhere"))
        journal.record([entry(step=1)], {}).result(SOON_S)
        assert [row.entry for row in journal.reader.rows()] == [entry(step=1)]
    with JournalReader(tmp_path / "elsewhere" / "j.db") as reader:
        assert reader.rows()[0].entry == entry(step=0)


def test_a_full_database_keeps_decisions_and_writes_them_later(tmp_path: Path) -> None:
    """No more pages: futures say that the disk is full, bounded decisions wait, and are written with room."""
    path = tmp_path / "j.db"
    with Journal(path, JournalConfig(max_pending=50)) as journal:
        journal.record([entry(step=0)], {}).result(SOON_S)
        connection = journal._writer._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        failed = 0
        for step in range(1, 200):
            future = journal.record([full_entry(step=step)], {})
            failed += future.exception(SOON_S) is not None
        state = journal.state()
        assert "disk is full; free some space" in state.fault
        assert state.pending == 50
        assert state.extra["refused_entries"] == failed - 50
        with pytest.raises(JournalError, match=r"50 decisions wait.*disk is full"):
            journal.record([full_entry(step=500)], {}).result(0)
        connection.execute("PRAGMA max_page_count = 1000000")
        wait_for_no_fault(journal)
        # All that was acknowledged or is waiting is there: everything but what found no room.
        assert journal.state().decisions == 200 - (failed - 50)
        journal.record([entry(step=501)], {}).result(SOON_S)


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """A process whose files may not grow: none blocks, none is lost, and all are on disk in the end."""
    command = [sys.executable, str(LIMITED), str(tmp_path / "j.db")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=5 * SOON_S)
    assert result.returncode == 0, result.stderr
    acknowledged, failed = map(int, result.stdout.split()[:2])
    assert acknowledged > 0
    assert failed > 0
    with JournalReader(tmp_path / "j.db") as reader:
        reader.check()
        assert len(reader.rows()) == acknowledged + failed
