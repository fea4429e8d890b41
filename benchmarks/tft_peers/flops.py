"""Floating-point operations of the matrix products that some work really does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def count(work: Callable[[], Any]) -> dict[str, int]:
    """Multiplications and additions by operation, e.g. {"aten.mm": 12}; two for each product of two numbers.

    Those in the backward pass count too. `FlopCounterMode` passes over the LSTM kernels of oneDNN, so they
    are added by formula.
    """
    formulas: dict[Any, Any] = {
        torch.ops.aten.mkldnn_rnn_layer: _lstm,
        torch.ops.aten.mkldnn_rnn_layer_backward: _lstm_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return {str(operation): int(flops) for operation, flops in counter.get_flop_counts()["Global"].items()}


def _lstm(inputs: Any, input_weight: Any, state_weight: Any, *rest: Any, **named: Any) -> int:
    """One direction of one layer: each step multiplies an input and a state by the kernels of four gates.

    Args:
        inputs: shape [T, B, I] or [B, T, I].
        input_weight: shape [4 H, I].
        state_weight: shape [4 H, H].
    """
    steps = inputs[0] * inputs[1]
    return int(2 * steps * input_weight[0] * (input_weight[1] + state_weight[1]))


def _lstm_backward(*shapes: Any, **named: Any) -> int:
    """The gradient of the inputs and that of the kernels, each as much as the forward pass."""
    return 2 * _lstm(*shapes)
