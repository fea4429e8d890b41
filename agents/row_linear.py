"""`RowLinear`: a linear layer that treats all rows alike."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_FEW = 12
"""Outputs from which on MKL's kernels treat all rows alike."""


class RowLinear(nn.Linear):
    """A linear layer of which a row's answer does not depend on the row's place.

    MKL's float32 kernels for fewer than 12 outputs go through four rows at a time, and where four does not
    divide the number of inputs, they add up in another order in each of the four. Zeros make it a multiple.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        missing = -self.in_features % 4
        if missing == 0 or self.out_features >= _FEW:
            return super().forward(inputs)
        weight = functional.pad(self.weight, (0, missing))
        return functional.linear(functional.pad(inputs, (0, missing)), weight, self.bias)
