"""What matrix products reach on this machine when nothing holds them up."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tft_peers.cases import Precision

SIZE = 2048
"""Rows and columns: far more than the caches hold, so that the products themselves take the time."""

TORCH = "torch.mm"
ONEDNN = "oneDNN"
"""`torch.mm` leaves float32 to MKL, which keeps to old instructions on processors that are not Intel's.
oneDNN, which also runs the LSTMs, does not."""
WAYS = (TORCH, ONEDNN)


def products(precision: Precision, size: int = SIZE) -> dict[str, Callable[[], int]]:
    """Functions that multiply two square matrices and return the floating-point operations of it, by name."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(size, size).to(kind) for _ in range(2))
    result = torch.empty(size, size, dtype=kind)
    ways: dict[str, Callable[[], Tensor]] = {TORCH: lambda: torch.mm(left, right, out=result)}
    # Its bare product has no public name, and none at all where torch was built without it.
    linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available() and linear is not None:
        ways[ONEDNN] = lambda: linear(left, right, None, "none", [], "")
    return {name: _counted(way, 2 * size**3) for name, way in ways.items()}


def _counted(product: Callable[[], Tensor], flops: int) -> Callable[[], int]:
    def steps() -> int:
        product()
        return flops

    return steps
