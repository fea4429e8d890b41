"""Where a network is trained: the CPU or a CUDA GPU, how batches get there, and what draws random numbers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.envs.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]


def training_device(wanted: Device, *, local_rank: int = 0) -> torch.device:
    """The device to train on; several processes on one machine take one GPU each.

    Args:
        wanted: "auto" takes a GPU if there is one.
        local_rank: number of this process among those on its machine.

    Raises:
        ConfigError: a GPU is asked for and missing.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and gpus == 0):
        return torch.device("cpu")
    if gpus == 0:
        raise ConfigError(
            'device "cuda": expected a CUDA GPU, found none: install a CUDA build of torch, or take "cpu".'
        )
    if local_rank >= gpus:
        raise ConfigError(
            f'device "{wanted}": expected a GPU for each process of this machine, found {gpus} for process '
            f'{local_rank + 1}: start fewer with --nproc-per-node, or take "cpu".'
        )
    return torch.device("cuda", local_rank)


def place(array: NDArray[Any], device: torch.device) -> Tensor:
    """`array` as a tensor on `device`.

    It goes to a GPU from pinned memory, so that the CPU gathers the next rows while it is under way.
    """
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def seed_random(device: torch.device, *numbers: int) -> None:
    """Start the random numbers of the CPU and of `device` from `numbers`, each at least 0."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of the random numbers of the CPU and of `device`, by type of device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random(device: torch.device, state: dict[str, Tensor]) -> None:
    """Go on from a `random_state` of the same type of device."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
