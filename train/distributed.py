"""Several processes that train one network: what they add up and tell each other."""

from __future__ import annotations

import atexit
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.launch import Distributed, Launch

Rows = NDArray[np.int64]
Value = TypeVar("Value")

_FAILURES, _MESSAGE = "quantum_trader/failures", "quantum_trader/message"
_TIMEOUT = timedelta(days=1)
"""The first process may work alone for long while the others wait; torchrun ends them if it dies."""


class _Nowhere(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


class OtherProcessError(TrainingError):
    """Another process failed, and has said why."""


class Group:
    """The processes that train one network together. This class stands for a process alone.

    All of them call its methods in the same order, or they wait for each other for ever.
    """

    rank = 0
    """Number of this process among all."""
    local_rank = 0
    """Number of this process among those on its machine."""
    size = 1
    """Processes in all."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    @property
    def stream(self) -> TextIO | None:
        """Where progress is written; None is standard error."""
        return None

    def share(self, rows: Rows) -> Rows:
        """The part of `rows` that this process works on; as many as the others', up to one."""
        first, last = (len(rows) * number // self.size for number in (self.rank, self.rank + 1))
        return rows[first:last]

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each of `tensors`, of one type and device, by its sum over all processes."""

    def copy_first_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each of `tensors` by that of the first process."""

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return flag

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        return [value]

    def wait(self) -> None:
        """Return once every process has called this."""
        self.any(False)


class TorchrunGroup(Group):
    """The processes that torchrun started, connected by gloo, and by NCCL where there are GPUs."""

    def __init__(self, launch: Launch) -> None:
        self.rank, self.local_rank, self.size = launch.rank, launch.local_rank, launch.size
        self.failed = False
        with _lost_processes():
            if not dist.is_initialized():
                backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
                dist.init_process_group(backend, timeout=_TIMEOUT)
                atexit.register(_leave)

    @property
    def stream(self) -> TextIO | None:
        """Only the first process shows progress."""
        return None if self.first else _Nowhere()

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """One exchange for all of them, through a flat buffer."""
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _lost_processes():
            dist.all_reduce(flat)
        _scatter(flat, tensors)

    def copy_first_(self, tensors: Sequence[Tensor]) -> None:
        """One exchange for all of them, through a flat buffer."""
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _lost_processes():
            dist.broadcast(flat, src=0)
        _scatter(flat, tensors)

    def any(self, flag: bool) -> bool:
        """Through the CPU: no GPU is kept waiting."""
        count = torch.tensor([int(flag)])
        with _lost_processes():
            dist.all_reduce(count)
        return bool(count)

    def gather(self, value: Value) -> list[Value]:
        """The values are pickled: each process trusts the others."""
        found: list[Value] = [value] * self.size
        with _lost_processes():
            dist.all_gather_object(found, value)
        return found

    def fail(self, error: BaseException) -> BaseException:
        """Note that this process cannot go on; what it is to raise: `error` in the first that fails."""
        self.failed = True
        try:
            # The store outlives the process: torchrun's agent holds it.
            store = dist.distributed_c10d._get_default_store()
            if store.add(_FAILURES, 1) > 1:
                return OtherProcessError(f"Another process failed: {store.get(_MESSAGE).decode()}")
            store.set(_MESSAGE, str(error) or type(error).__name__)
            if not torch.cuda.is_available():
                dist.destroy_process_group()  # Closes the connections: whoever waits for this process wakes.
        except (RuntimeError, ValueError):
            pass  # Nobody is left to tell.
        return error


_group: TorchrunGroup | None = None


@contextmanager
def processes(distributed: Distributed = "auto") -> Iterator[Group]:
    """The processes that torchrun started, or this one alone; at the end each waits for the others.

    Contexts inside each other, and one after the other, share one group, which is left when Python ends. If a
    process fails in here, the others fail with an `OtherProcessError` at their next exchange.

    Args:
        distributed: "off" makes this process one alone, whatever started it.
    """
    group = _joined() if distributed == "auto" else Group()
    try:
        yield group
        group.wait()
    except (OtherProcessError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if not isinstance(group, TorchrunGroup) or group.failed:
            raise
        told = group.fail(error)
        if told is error:
            raise
        raise told from error


def _joined() -> Group:
    global _group
    launch = Launch.here()
    if launch.size == 1:
        return Group()
    if _group is None:
        if torch.cuda.is_available() and launch.local_rank < torch.cuda.device_count():
            torch.cuda.set_device(launch.local_rank)
        _group = TorchrunGroup(launch)
    return _group


def _leave() -> None:
    if dist.is_initialized() and not (_group is not None and _group.failed):
        dist.destroy_process_group()


@contextmanager
def _lost_processes() -> Iterator[None]:
    """A connection that broke means that the process at its other end is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            "A process of this training was lost: look for its own message; without any, the system ran out "
            "of memory (lower batch_size) or the connection broke. The same command goes on from the last "
            "checkpoint."
        ) from error


def _scatter(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    start = 0
    for tensor in tensors:
        tensor.detach().copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
