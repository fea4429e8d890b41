"""A peer's network as the worker wants it: training steps, passes and predictions."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tft_peers.cases import Case, Precision
from tft_peers.flops import count
from tft_peers.task import Task

Steps = Callable[[], int]

_BATCHES = 4
_KEEP_BELOW = 1 << 30


class Network(Protocol):
    """What an adapter says about its library."""

    module: nn.Module
    """The library's network, with fresh weights."""

    def batch(self, size: int, seed: int) -> Any:
        """Inputs and targets of `size` windows, as the library's own loader would hand them over."""

    def answer(self, batch: Any) -> Any:
        """The forward pass."""

    def loss(self, batch: Any) -> Tensor:
        """Forward pass and the library's quantile loss."""

    def predictor(self, size: int, precision: Precision) -> Callable[[], Any]:
        """The library's own prediction for `size` series whose data it has already taken in."""


def build(make: Callable[[Task], Network], task: Task, key: str) -> Steps:
    """A function that does one step of a case and returns how many windows that were."""
    case = Case.parse(key)
    network = _made(make, task)
    if case.kind == "train":
        return training(network, case)
    if case.kind == "model":
        return forward(network, case)
    if case.kind == "predict":
        predict = network.predictor(case.batch, case.precision)

        def steps() -> int:
            predict()
            return case.batch

        return steps
    raise ValueError(f"A peer can train, model or predict, found {case.kind!r}.")


def facts(make: Callable[[Task], Network], task: Task) -> dict[str, Any]:
    """Weights, and floating-point operations of a training step by operation."""
    network = _made(make, task)
    parameters = sum(each.numel() for each in network.module.parameters() if each.requires_grad)
    step = training(network, Case(kind="train", precision="fp32", batch=task.batch))
    return {"parameters": parameters, "flops": count(step)}


def training(network: Network, case: Case) -> Steps:
    """Forward pass, loss, backward pass and AdamW, on a few batches in turn; nothing else is done."""
    module = network.module.train()
    weights = [each for each in module.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-2, fused=True)
    batches = itertools.cycle([network.batch(case.batch, seed) for seed in range(_BATCHES)])

    def steps() -> int:
        with _autocast(case.precision):
            loss = network.loss(next(batches))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return case.batch

    return steps


def forward(network: Network, case: Case) -> Steps:
    """The network alone, on tensors."""
    network.module.eval()
    batch = network.batch(case.batch, 0)

    def steps() -> int:
        with torch.inference_mode(), _autocast(case.precision):
            network.answer(batch)
        return case.batch

    return steps


def _made(make: Callable[[Task], Network], task: Task) -> Network:
    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    if task.keep_memory:
        _keep_freed_memory()
    return make(task)


def _autocast(precision: Precision) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def _keep_freed_memory() -> None:
    """What `quantum_trader.agents.tft.allocator` sets: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc."""
    mallopt = ctypes.CDLL(None).mallopt
    for option in (-3, -1):
        mallopt(option, _KEEP_BELOW)
