"""Training in several processes: the numbers of one process, one voice, cut off and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.serve.cli import main
from quantum_trader.train.distributed import Group, OtherProcessError, processes
from quantum_trader.train.launch import Launch, require_one_process
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import Explained
from quantum_trader.train.tally import joined

from .shared_fit import TRAINING, data, figures, fit

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
PATIENCE = 1_800
"""Seconds after which a process that hangs is given up."""

FAILS_IN_THE_SECOND = """
import os, sys
from quantum_trader.serve.cli import main
from quantum_trader.train.dataset import PooledDataset
batch, calls = PooledDataset.batch, []
def broken(self, rows):
    calls.append(rows)
    if len(calls) == 3 and os.environ["RANK"] == "1":
        raise MemoryError
    return batch(self, rows)
PooledDataset.batch = broken
sys.exit(main(sys.argv[1:]))
"""


SLOWED = """
import sys, time
from quantum_trader.serve.cli import main
from quantum_trader.train.dataset import PooledDataset
batch = PooledDataset.batch
def slowed(self, rows):
    time.sleep(0.2)
    return batch(self, rows)
PooledDataset.batch = slowed
sys.exit(main(sys.argv[1:]))
"""
"""A training that is still under way when somebody who saw its first checkpoint interrupts it."""


def _start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*TORCHRUN, *words], stdout=pipe, stderr=pipe, text=True, env=environment)


def _command(out: Path) -> tuple[str, ...]:
    return (
        *("train", "tft", "--out", str(out), "--name", "shared", "--data", "planted", "--preset", "tiny"),
        *("--tft.epochs", "2", "--tft.max-samples", "3000", "--tft.max-validation-samples", "300"),
        *("--tft.batch-size", "32", "--tft.checkpoint-every", "10"),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what two processes trained; see `shared_fit.main`."""
    folder = tmp_path_factory.mktemp("shared")
    with _start(str(Path(__file__).with_name("shared_fit.py")), str(folder)) as process:
        errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what one process trained with batches as large as those of the two."""
    folder = tmp_path_factory.mktemp("alone")
    fit(data(), folder, replace(TRAINING, batch_size=128))
    return folder


def _assert_same(first: Path, second: Path) -> None:
    """Equal weights up to the order in which float32 numbers were added."""
    weights = [load_file(folder / "model" / "weights.safetensors") for folder in (first, second)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=0.0, atol=2e-6, msg=name)


@pytest.mark.xdist_group("distributed")
def test_two_processes_train_as_one(shared: Path, alone: Path) -> None:
    """Two processes with 64 rows each give the losses and weights of one process with 128."""
    found, expected = (
        json.loads((folder / "figures.json").read_text()) for folder in (shared / "plain", alone)
    )
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=2e-6)
    _assert_same(shared / "plain", alone)


@pytest.mark.xdist_group("distributed")
def test_one_process_writes(shared: Path) -> None:
    """There is one log, one model folder and one checkpoint, and no left-over of a second writer."""
    plain = shared / "plain"
    assert len(list((plain / "tensorboard" / "tft").iterdir())) == 1
    assert [path.name for path in (plain / "checkpoints").iterdir()] == ["tft.pt"]
    assert {path.name for path in plain.iterdir()} == {"checkpoints", "figures.json", "model", "tensorboard"}


@pytest.mark.xdist_group("distributed")
def test_shared_training_is_resumed_exactly(shared: Path) -> None:
    """Ctrl-C in one process stops both after a checkpoint; they go on to the very same weights, though each
    draws dropout of its own."""
    whole, cut = ((shared / name / "model" / "weights.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


@pytest.mark.xdist_group("distributed")
def test_one_process_goes_on_where_two_stopped(shared: Path, alone: Path) -> None:
    """A checkpoint of two processes is taken up by one if its batches are as large, and refused if not."""
    prepared = data()
    with pytest.raises(TrainingError, match="another configuration"):
        fit(prepared, shared / "moved", TRAINING)
    reports = fit(prepared, shared / "moved", replace(TRAINING, batch_size=128))
    assert [report.epoch for report in reports] == [2]
    expected = json.loads((alone / "figures.json").read_text())[1]
    np.testing.assert_allclose(figures(reports[0]), expected, rtol=0.0, atol=2e-6)
    _assert_same(shared / "moved", alone)


def test_a_failure_in_one_process_ends_all_with_one_message(tmp_path: Path) -> None:
    """Memory that runs out in the second process ends both; its message is printed once, nothing is kept."""
    words = ("--no-python", sys.executable, "-c", FAILS_IN_THE_SECOND)
    with _start(*words, *_command(tmp_path)) as process:
        errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode != 0
    messages = [line for line in errors.splitlines() if line.startswith("quantum-trader:")]
    assert len(messages) == 1, errors
    assert "lower batch_size (now 32)" in messages[0]
    assert not (tmp_path / "shared" / "models").exists()
    assert not (tmp_path / "shared" / "stages").exists()


@pytest.mark.slow
def test_command_line_is_interrupted_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C under torchrun leaves a checkpoint and one line; started again the command finishes, and a
    single process then finds the model finished."""
    words = _command(tmp_path)
    checkpoint = tmp_path / "shared" / "checkpoints" / "tft.pt"
    with _start("--no-python", sys.executable, "-c", SLOWED, *words) as process:
        for _ in range(20 * PATIENCE):
            if checkpoint.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=PATIENCE)[1]
    assert errors.count("interrupted; the same command goes on") == 1, errors
    assert checkpoint.exists()
    with _start("-m", "quantum_trader.serve.cli", *words) as process:
        said, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert [line.split(":")[0] for line in said.splitlines()].count("tft epoch 2") == 1
    assert said.count("model: ") == 1
    assert not checkpoint.exists()
    capsys.readouterr()
    assert main(list(words)) == 0
    assert "tft: kept from before" in capsys.readouterr().out


def test_shares_are_disjoint_and_even() -> None:
    """Every row goes to one process; no process has two rows more than another."""
    rows, groups = np.arange(103), [Group() for _ in range(4)]
    for rank, group in enumerate(groups):
        group.rank, group.size = rank, 4
    parts = [group.share(rows) for group in groups]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert {len(part) for part in parts} == {25, 26}


def test_a_process_alone_has_nobody_to_ask() -> None:
    """Without torchrun the group is this process, and what it gathers and sums is its own."""
    with processes() as group:
        tensor = torch.tensor([1.0, 2.0])
        group.sum_([tensor])
        assert (group.rank, group.size, group.first) == (0, 1, True)
        assert tensor.tolist() == [1.0, 2.0]
        assert group.gather("own") == ["own"]
        assert group.any(True)
        assert not group.any(False)


def test_launch_is_read_from_torchruns_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four variables are needed; what cannot be shared is refused in several processes."""
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Launch.here() == Launch()
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Launch.here() == Launch(rank=3, local_rank=1, size=4)
    with processes("off") as group:
        assert group.size == 1
    with pytest.raises(ConfigError, match="train ppo: expected one process, found 4"):
        require_one_process("train ppo")


def test_settings_that_decide() -> None:
    """Device, threads and the number of processes may change between two parts of a training if a batch
    keeps its rows; anything else may not."""
    config = NetworkTrainConfig(batch_size=64)
    moved = replace(config, batch_size=32, device="cpu", num_threads=2, checkpoint_every=7, distributed="off")
    assert moved.deciding(4) == config.deciding(2)
    assert config.deciding(1) != config.deciding(2)
    assert replace(config, learning_rate=0.1).deciding() != config.deciding()


def test_what_processes_saw_is_joined() -> None:
    """Means weigh every row alike, rows are put end to end, a process without rows does not count."""
    one = Explained(
        attention=np.array([1.0, 0.0], np.float32),
        probabilities=np.ones((1, 3), np.float32),
        labels=np.array([2]),
    )
    three = replace(
        one,
        attention=np.array([0.0, 1.0], np.float32),
        probabilities=np.zeros((3, 3), np.float32),
        labels=np.array([0, 1, 0]),
    )
    found = joined([one, Explained(), three])
    assert found.attention is not None
    assert found.labels is not None
    assert found.attention.tolist() == [0.25, 0.75]
    assert found.labels.tolist() == [2, 0, 1, 0]
    assert found.importances is None
    assert joined([one]) is one
    assert joined([Explained()]).attention is None


def test_another_process_failing_is_a_training_error() -> None:
    """Whoever catches failed trainings catches those that another process ended."""
    assert issubclass(OtherProcessError, TrainingError)
