"""Workers: which interpreter runs a peer, and what happens when one stops."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from peers.processes import Worker, WorkerError, workers
from peers.registry import GYM_ANYTRADING, PEERS
from peers.task import Task

ANSWERING = """
import sys
name = sys.argv[3]
print('{"versions": {"self": "%s"}}' % name, flush=True)
for line in sys.stdin:
    print('{"rate": 12.5}', flush=True)
"""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A rising price, features that name their bar and column."""
    bars = 200
    close = np.linspace(100.0, 120.0, bars)
    return Task(
        timestamp=np.arange(bars, dtype=np.int64) * 3_600_000,
        open=close - 0.05,
        high=close + 0.1,
        low=close - 0.1,
        close=close,
        volume=np.ones(bars),
        features=np.add.outer(np.arange(bars), np.arange(14) / 100).astype(np.float32),
    )


def interpreter(path: Path, program: str) -> Path:
    """Something that is started like Python but runs `program`."""
    path.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_task_survives_its_file(task: Task, tmp_path: Path) -> None:
    """Arrays and numbers come back with their values and types."""
    task.save(tmp_path / "task.npz")
    found = Task.load(tmp_path / "task.npz")
    for name, value in vars(task).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    assert found.features.dtype == np.float32
    assert isinstance(found.window, int)


def test_the_first_interpreter_that_has_a_peer_runs_it(tmp_path: Path) -> None:
    """Peers that one interpreter lacks run under the next; those that all lack are named with the reason."""
    lacking = interpreter(tmp_path / "lacking", 'print(\'{"missing": "no such module"}\')')
    answering = interpreter(tmp_path / "answering", ANSWERING)
    with workers((lacking, answering), tmp_path / "task.npz") as (running, missing):
        assert list(running) == list(PEERS)
        assert missing == {}
        for name, worker in running.items():
            assert worker.versions == {"self": name}
            assert worker.round(1, 0.0) == 12.5
    with workers((lacking,), tmp_path / "task.npz") as (running, missing):
        assert running == {}
        assert missing == dict.fromkeys(PEERS, "no such module")


def test_a_worker_that_stops_says_why(tmp_path: Path) -> None:
    """What the process wrote to its standard error is in the message."""
    failing = interpreter(tmp_path / "failing", "raise SystemExit('bars are missing')")
    with pytest.raises(WorkerError, match=r"(?s)gym-anytrading stopped without an answer.*bars are missing"):
        Worker(failing, GYM_ANYTRADING, tmp_path / "task.npz")


def test_a_path_that_is_no_interpreter_is_named(tmp_path: Path) -> None:
    """The message has the path and what to give instead."""
    with pytest.raises(WorkerError, match=r"absent cannot be started .*: give the bin/python"):
        Worker(tmp_path / "absent", GYM_ANYTRADING, tmp_path / "task.npz")


def test_gym_anytrading_takes_steps(task: Task, tmp_path: Path) -> None:
    """The peer that is always installed answers a round, past the end of its 140-step episodes."""
    task.save(tmp_path / "task.npz")
    with workers((Path(sys.executable),), tmp_path / "task.npz") as (running, _):
        worker = running[GYM_ANYTRADING]
        assert worker.versions["gym-anytrading"]
        assert all(worker.round(1, 0.01) > 0 for _ in range(3))
