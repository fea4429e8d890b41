"""Initial weights. With PyTorch's defaults the network stays at chance on tasks that need memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FORGET_BIAS = 1.0
"""Initial bias of the forget gate: the LSTM starts out remembering (Jozefowicz et al. 2015)."""

_GATES = 4


def glorot(weight: Tensor, *, fan_in: int, fan_out: int) -> None:
    """Fill `weight` uniformly with Glorot's variance 2 / (fan_in + fan_out), whatever its layout."""
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    nn.init.uniform_(weight, -bound, bound)


def init_linear(layer: nn.Linear, *, parts: int = 1) -> None:
    """Glorot kernel and zero bias; a layer that stacks `parts` layers is filled as these would be."""
    glorot(layer.weight, fan_in=layer.in_features, fan_out=layer.out_features // parts)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def init_lstm(lstm: nn.LSTM) -> None:
    """Glorot kernels and orthogonal recurrent weights gate by gate, zero biases, forget gates open."""
    for name, weight in lstm.named_parameters():
        if name.startswith("weight_ih"):
            glorot(weight, fan_in=weight.shape[1], fan_out=weight.shape[0] // _GATES)
        elif name.startswith("weight_hh"):
            for gate in weight.chunk(_GATES):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(weight)
            if name.startswith("bias_ih"):
                with torch.no_grad():
                    # PyTorch's order of gates: input, forget, cell, output.
                    weight.chunk(_GATES)[1].fill_(FORGET_BIAS)
