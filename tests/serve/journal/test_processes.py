from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.reader import JournalReader

from .made import SOON_S
from .worker import made

WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """One process of `worker.py`; its lines are collected in a file, so that no pipe fills up."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._lines = folder / f"{'-'.join(Path(part).name for part in arguments)}-{time.monotonic_ns()}.txt"
        self._errors = self._lines.with_suffix(".err")
        with self._lines.open("wb") as out, self._errors.open("wb") as errors:
            command = [sys.executable, str(WORKER), *arguments]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=errors)

    def told(self) -> list[str]:
        """Whole lines so far, without the greeting."""
        return self._lines.read_bytes().decode().split("\n")[:-1][1:]

    def wait_for(self, lines: int) -> None:
        deadline = time.monotonic() + 3 * SOON_S
        while (found := len(self.told())) < lines:
            assert self.process.poll() is None, self._errors.read_text()
            assert time.monotonic() < deadline, f"expected {lines} lines, found {found}"
            time.sleep(0.05)

    def kill(self) -> list[str]:
        """End it as by kill -9; what it had told."""
        self.process.kill()
        self.process.communicate()
        return self.told()

    def finish(self) -> list[str]:
        """Tell it to stop; what it has told."""
        _, _ = self.process.communicate(timeout=SOON_S)
        assert self.process.returncode == 0, self._errors.read_text()
        assert self._errors.read_text() == ""
        return self.told()


def in_journal(path: Path) -> dict[tuple[str, int], object]:
    with JournalReader(path) as reader:
        reader.check()
        return {(row.entry.symbol, row.entry.decided_ms): row.entry for row in reader.rows()}


def assert_all_there(path: Path, lines: Sequence[str]) -> None:
    """Every acknowledged decision is in the journal as it was recorded, with its bar."""
    found = in_journal(path)
    for line in lines:
        symbol, step = line.split()
        assert found[symbol, int(step)] == made(symbol, int(step))
    with JournalReader(path) as reader:
        state = reader.state()
    assert state.decisions == len(found)
    assert state.bars == len(found)


def test_no_acknowledged_decision_is_lost_to_kill_9(tmp_path: Path) -> None:
    """A writer killed again and again in the midst of commits: all that it had acknowledged is there."""
    path = tmp_path / "j.db"
    told: list[str] = []
    for life in range(5):
        worker = Worker(tmp_path, "write", str(path), f"life{life}")
        worker.wait_for(20 + 90 * life)
        told += worker.kill()
        assert_all_there(path, told)
    assert len(told) > 5 * 20


def test_writers_and_readers_in_many_processes_get_along(tmp_path: Path) -> None:
    """Two writing processes of three threads, two reading ones, one killed: nobody ever hears of a lock."""
    path = tmp_path / "j.db"
    Journal(path).close()
    writers = [Worker(tmp_path, "write", str(path), name) for name in ("one", "two", "killed")]
    readers = [Worker(tmp_path, "read", str(path)) for _ in range(2)]
    for worker in (*writers, *readers):
        worker.wait_for(5)
    writers[2].wait_for(100)
    told = writers[2].kill()
    for worker in writers[:2]:
        worker.wait_for(300)
    for worker in writers[:2]:
        told += worker.finish()
    for worker in readers:
        counts = [int(line) for line in worker.finish()]
        assert counts == sorted(counts)
    assert_all_there(path, told)


def test_many_processes_may_create_the_journal_at_once(tmp_path: Path) -> None:
    """Four writers that start on a file that is not there yet make one journal between them."""
    path = tmp_path / "new" / "j.db"
    workers = [Worker(tmp_path, "write", str(path), f"w{number}") for number in range(4)]
    for worker in workers:
        worker.wait_for(3)
    assert_all_there(path, [line for worker in workers for line in worker.finish()])
