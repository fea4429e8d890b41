"""Training on any device: what goes where, numbers that stay finite, memory that runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.tft.precision import autocast, use_bf16
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.train.device import place, random_state, restore_random, seed_random, training_device
from quantum_trader.train.memory import explained_memory_errors
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.watch import FiniteWatch

from .shared_fit import TRAINING, Hooked, data, figures, fit, press_ctrl_c

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Purged rows of a planted market."""
    return data()


def _gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process of a machine gets a GPU of its own; "cpu" leaves them alone."""
    _gpus(monkeypatch, 2)
    assert training_device("auto") == torch.device("cuda", 0)
    assert training_device("cuda", local_rank=1) == torch.device("cuda", 1)
    assert training_device("cpu", local_rank=1) == CPU
    with pytest.raises(ConfigError, match="found 2 for process 3"):
        training_device("auto", local_rank=2)
    _gpus(monkeypatch, 0)
    assert training_device("auto", local_rank=7) == CPU
    with pytest.raises(ConfigError, match=r"expected a CUDA GPU, found none.*\"cpu\""):
        training_device("cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_ends_training(prepared: Prepared, tmp_path: Path) -> None:
    """Asked to train on a GPU that is not there, training says so instead of taking the CPU."""
    with pytest.raises(ConfigError, match="found none"):
        fit(prepared, tmp_path, replace(TRAINING, device="cuda"))


def test_the_cpu_takes_arrays_without_a_copy() -> None:
    """On the CPU a batch is the very memory it was gathered into."""
    array = np.zeros(3, dtype=np.float32)
    place(array, CPU)[1] = 5.0
    assert array.tolist() == [0.0, 5.0, 0.0]


def test_random_numbers_go_on() -> None:
    """From a state the same numbers follow; every process and step starts others."""
    with torch.random.fork_rng(devices=[]):
        seed_random(CPU, 3, 0, 7)
        state = random_state(CPU)
        drawn = torch.rand(4)
        restore_random(CPU, state)
        assert torch.equal(torch.rand(4), drawn)
        for numbers in ((3, 1, 7), (3, 0, 8), (4, 0, 7)):
            seed_random(CPU, *numbers)
            assert not torch.equal(torch.rand(4), drawn)
        seed_random(CPU, 3, 0, 7)
        assert torch.equal(torch.rand(4), drawn)


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "auto" asks the device that trains; a format that is named is taken everywhere."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert use_bf16("auto", "cuda")
    assert use_bf16("bf16", "cpu")
    assert not use_bf16("fp32", "cuda")
    with autocast(True, "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_numbers_are_watched_many_at_a_time() -> None:
    """Nothing is read before enough numbers are there; then the first bad one is named, with its value."""
    watch = FiniteWatch(3)
    watch.see(torch.tensor(1.0), "The loss in batch 1", "remedy 1")
    watch.see(torch.tensor(float("inf")), "The gradient in batch 1", "remedy 2")
    with pytest.raises(TrainingError, match=r"^The gradient in batch 1 is inf: remedy 2\.$"):
        watch.see(torch.tensor(float("nan")), "The loss in batch 2", "remedy 3")
    watch.check()
    watch.see(torch.tensor(float("nan")), "The loss in batch 3", "remedy 3")
    with pytest.raises(TrainingError, match="batch 3 is nan"):
        watch.check()


def _too_much_cpu() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def _too_much_numpy() -> None:
    np.empty(1 << 60, dtype=np.uint8)


def _too_much_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def _too_much_cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


@pytest.mark.parametrize("exhaust", [_too_much_cpu, _too_much_numpy, _too_much_cuda, _too_much_cublas])
def test_every_allocator_is_understood(exhaust: Callable[[], None]) -> None:
    """Memory that runs out carries the remedy whoever ran out of it; the first two really do."""
    with (
        pytest.raises(TrainingError, match=r"^Memory ran out: buy more\.$"),
        explained_memory_errors("buy more"),
    ):
        exhaust()


def test_a_lost_process_is_not_taken_for_lost_memory() -> None:
    """An error that is explained already keeps its words, even if they speak of memory."""
    with pytest.raises(TrainingError, match=r"^lost"), explained_memory_errors("buy more"):
        raise TrainingError("lost, perhaps out of memory")


def test_too_little_memory_names_settings(prepared: Prepared, tmp_path: Path) -> None:
    """In the middle of training the message names options with their values, and nothing is kept."""
    train: Any = Hooked(prepared.train, 4, _too_much_cuda)
    with pytest.raises(TrainingError, match="Memory ran out") as caught:
        fit(prepared, tmp_path, replace(TRAINING, accumulate=2), train=train)
    for words in ("--tft.batch-size 32 --tft.accumulate 4", "--tft.max-samples", "--preset"):
        assert words in str(caught.value)
    assert not (tmp_path / "model").exists()


@needs_cuda
def test_a_gpu_learns_what_the_cpu_learns(prepared: Prepared, tmp_path: Path) -> None:
    """Without dropout two epochs on a GPU end at the CPU's losses, up to rounding."""
    found, expected = (
        [
            figures(report)
            for report in fit(prepared, tmp_path / device, replace(TRAINING, device=device))  # type: ignore[arg-type]
        ]
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(np.array(found)[:, ::2], np.array(expected)[:, ::2], rtol=2e-3)


@needs_cuda
@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_training_moves_between_devices(prepared: Prepared, tmp_path: Path, first: Any, second: Any) -> None:
    """A training that was cut off on one device goes on, in bfloat16 and with dropout, on the other."""
    train: Any = Hooked(prepared.train, 4, press_ctrl_c)
    training = replace(TRAINING, precision="auto")
    state = torch.cuda.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        fit(prepared, tmp_path, replace(training, device=first), dropout=0.1, train=train)
    reports = fit(prepared, tmp_path, replace(training, device=second), dropout=0.1)
    assert [report.epoch for report in reports] == [1, 2]
    assert np.isfinite(figures(reports[-1])).all()
    assert torch.equal(torch.cuda.get_rng_state(), state)


@needs_cuda
def test_a_gpu_finds_the_bad_batch(prepared: Prepared, tmp_path: Path) -> None:
    """Though numbers are read late on a GPU, the batch that went wrong first is named."""
    broken = prepared.train.subset(np.arange(len(prepared.train)))
    broken.weight[:] = np.inf
    with pytest.raises(TrainingError, match="epoch 1, batch 1 is nan"):
        fit(prepared, tmp_path, replace(TRAINING, device="cuda"), train=broken)
