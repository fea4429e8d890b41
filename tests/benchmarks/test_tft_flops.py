"""Counted floating-point operations against hand counts of tiny networks."""

from __future__ import annotations

import pytest
import torch
from tft_peers.flops import count
from torch import nn


def test_linear_layers() -> None:
    """Two for each product of two numbers; backward, kernels always, inputs only where somebody asks."""
    model, inputs = nn.Sequential(nn.Linear(3, 5), nn.ELU(), nn.Linear(5, 2)), torch.randn(7, 3)
    forward = 2 * 7 * (3 * 5 + 5 * 2)
    backward = 2 * 7 * (3 * 5) + 2 * 7 * (5 * 2) * 2
    assert sum(count(lambda: model(inputs)).values()) == forward
    assert sum(count(lambda: model(inputs).sum().backward()).values()) == forward + backward


def test_batched_products_by_operation() -> None:
    """[4, 2, 3] x [4, 3, 5] are 4 times 2 x 5 sums of 3."""
    assert count(lambda: torch.bmm(torch.ones(4, 2, 3), torch.ones(4, 3, 5))) == {
        "aten.bmm": 2 * 4 * 2 * 5 * 3
    }


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="LSTMs run without oneDNN here")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_lstms_count_although_one_kernel_runs_a_layer(directions: int, bf16: bool) -> None:
    """Each step of a layer multiplies input and state by four kernels; the backward pass takes twice that."""
    size, state, batch, steps = 3, 4, 2, 6
    model = nn.LSTM(size, state, 2, batch_first=True, bidirectional=directions == 2)
    inputs = torch.randn(batch, steps, size, requires_grad=True)

    def work() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            outputs: torch.Tensor = model(inputs)[0]
        return outputs.float().sum()

    first, second = size + state, directions * state + state
    forward = 2 * batch * steps * 4 * state * (first + second) * directions
    assert sum(count(work).values()) == forward
    assert sum(count(lambda: work().backward()).values()) == 3 * forward
