"""What peers get, and how their adapters' networks are put to work, on a network that is always there."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peers.clock import speed
from peers.processes import Worker, workers
from tft_peers import network
from tft_peers.cases import Precision
from tft_peers.registry import PEERS, PYTORCH_FORECASTING
from tft_peers.task import Task
from torch import Tensor, nn

LACKING = 'print(\'{"missing": "no such module"}\')'
ANSWERING = """
import json, sys
print('{"versions": {"self": "%s of %s"}}' % (sys.argv[3], sys.argv[5]), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"facts": {"parameters": 3}} if asked.get("facts") else {"rate": len(asked["case"])}
    print(json.dumps(answer), flush=True)
"""


class Tiny:
    """A peer's network as its adapter has it: one linear layer on the features' last bar."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.module = nn.Linear(task.features.shape[1], 1)
        self.predicted: list[tuple[int, Precision]] = []
        MADE.append(self)

    def batch(self, size: int, seed: int) -> tuple[Tensor, Tensor]:
        """Features of the window's last bar, and the next bar's target."""
        stretch, last = self._task.stretch(size, seed), self._task.window - 1
        return torch.from_numpy(stretch.features[:, last]), torch.from_numpy(stretch.target[:, last + 1])

    def answer(self, batch: tuple[Tensor, Tensor]) -> Any:
        """The forward pass."""
        return self.module(batch[0])

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean absolute error."""
        return (self.answer(batch).squeeze(-1) - batch[1]).abs().mean()

    def predictor(self, size: int, precision: Precision) -> Callable[[], Any]:
        """Notes that it was asked."""
        return lambda: self.predicted.append((size, precision))


MADE: list[Tiny] = []


@pytest.fixture
def task() -> Task:
    """Numbers that name their row and column: row + column / 100."""
    rows = np.arange(40, dtype=np.float32)

    def columns(count: int) -> np.ndarray[Any, Any]:
        return np.add.outer(rows, np.arange(count, dtype=np.float32) / 100).astype(np.float32)

    return Task(
        features=columns(5),
        known=columns(2),
        static=columns(3),
        target=rows + 0.5,
        quantiles=np.array([0.1, 0.5, 0.9]),
        window=6,
        horizons=2,
        batch=4,
    )


def interpreter(path: Path, program: str) -> Path:
    """Something that is started like Python but runs `program`."""
    path.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_task_survives_its_file(task: Task, tmp_path: Path) -> None:
    """Arrays, numbers and switches come back with their values and types."""
    task = replace(task, keep_memory=True)
    task.save(tmp_path / "task.npz")
    found = Task.load(tmp_path / "task.npz")
    for name, value in vars(task).items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert type(getattr(found, name)) is type(value)


def test_stretches_are_consecutive_bars_with_the_static_numbers_of_the_window(task: Task) -> None:
    """Target and calendar lie beside the features; static numbers are those of the window's last bar."""
    found = task.stretch(20, seed=3)
    first = found.features[:, 0, 0]
    assert found.features.shape == (20, 8, 5)
    np.testing.assert_array_equal(found.features[:, :, 0], first[:, None] + np.arange(8))
    np.testing.assert_array_equal(found.known[:, :, 0], found.features[:, :, 0])
    np.testing.assert_array_equal(found.target, found.features[:, :, 0] + 0.5)
    np.testing.assert_array_equal(found.static[:, 0], first + 5)
    assert len(set(first)) > 5
    np.testing.assert_array_equal(task.stretch(20, seed=3).features, found.features)


def test_a_training_step_moves_the_weights_and_a_pass_does_not(task: Task) -> None:
    """Both return the number of windows."""
    for key, moved in (("train fp32 4", True), ("train bf16 4", True), ("model fp32 3", False)):
        steps = network.build(Tiny, task, key)
        module = MADE[-1].module
        before = module.weight.detach().clone()
        assert steps() == int(key[-1])
        assert bool((module.weight != before).any()) is moved
        assert module.training is moved


def test_predictions_are_the_librarys_own(task: Task) -> None:
    """The adapter's predictor is called, once a step."""
    steps = network.build(Tiny, task, "predict bf16 7")
    assert [steps(), steps()] == [7, 7]
    assert MADE[-1].predicted == [(7, "bf16")] * 2


def test_what_a_peer_cannot_do_is_refused(task: Task) -> None:
    """The live path is this project's."""
    with pytest.raises(ValueError, match="train, model or predict, found 'live'"):
        network.build(Tiny, task, "live fp32 1")


def test_facts_count_weights_and_work(task: Task) -> None:
    """5 weights and a bias; 4 windows take 4 x 5 products forward, and as many for the kernel's gradient."""
    found = network.facts(Tiny, task)
    assert found["parameters"] == 6
    assert sum(found["flops"].values()) == 2 * 4 * 5 * 2


def test_workers_of_this_package_answer_cases_and_facts(tmp_path: Path) -> None:
    """Its registry names them; they are told the package, and asked for cases by name."""
    answering = interpreter(tmp_path / "answering", ANSWERING)
    with workers((answering,), tmp_path / "task.npz", "tft_peers") as (running, missing):
        assert list(running) == list(PEERS)
        assert missing == {}
        for name, worker in running.items():
            assert worker.versions == {"self": f"{name} of tft_peers"}
            assert worker.facts() == {"parameters": 3}
            assert worker.round("train bf16 128", 0.0, wall=True) == len("train bf16 128")


def test_a_missing_peer_is_reported(tmp_path: Path) -> None:
    """With the reason, whichever way it is missing: by a worker of its own, and among all of the package."""
    lacking = interpreter(tmp_path / "lacking", LACKING)
    worker = Worker(lacking, PYTORCH_FORECASTING, tmp_path / "task.npz", "tft_peers")
    assert worker.missing == "no such module"
    worker.close()
    with workers((lacking,), tmp_path / "task.npz", "tft_peers") as (running, missing):
        assert running == {}
        assert missing == dict.fromkeys(PEERS, "no such module")


def test_several_threads_are_timed_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps over seconds on the wall, for a round whose length goes by processor time."""
    processor, wall = itertools.count(0.0, 1.0), itertools.count(0.0, 4.0)
    monkeypatch.setattr("peers.rounds.time", SimpleNamespace(process_time=lambda: next(processor)))
    monkeypatch.setattr("peers.clock.time", SimpleNamespace(perf_counter=lambda: next(wall)))
    assert speed(lambda: 10, 3.0) == 10.0
    assert speed(lambda: 10, 3.0, wall=True) == 3 * 10 / 4.0
