"""Number format and threads of a pass through the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import torch

from quantum_trader.envs.errors import ConfigError

Precision = Literal["auto", "bf16", "fp32"]


def has_native_bf16(device: str = "cpu") -> bool:
    """Whether a type of device multiplies bfloat16 matrices in hardware (CPU: AMX tiles or AVX512-BF16).

    Without it bfloat16 is emulated and slower than float32. The CPU's probes are private to PyTorch: where a
    version lacks one, the answer is no.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes) and _runs_bf16()


@cache
def _runs_bf16() -> bool:
    """Whether this build has bfloat16 kernels for an LSTM: it has not where oneDNN was told to do without."""
    # Made on "meta", because random weights would move everybody's seed.
    lstm = torch.nn.LSTM(8, 8, device="meta").to_empty(device="cpu")
    for weights in lstm.parameters():
        torch.nn.init.zeros_(weights)
    try:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            lstm(torch.zeros(2, 1, 8))
    except RuntimeError:
        return False
    return True


def use_bf16(precision: Precision, device: str = "cpu") -> bool:
    """Resolve "auto": bfloat16 where the type of device has it natively."""
    if precision not in ("auto", "bf16", "fp32"):
        raise ConfigError(f"precision must be auto, bf16 or fp32, found {precision!r}.")
    return has_native_bf16(device) if precision == "auto" else precision == "bf16"


def autocast(bf16: bool, device: str = "cpu") -> Any:
    """Context in which matrix products run in bfloat16 if `bf16`; softmax, heads and losses stay float32."""
    return torch.autocast(device, torch.bfloat16, enabled=bf16)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run with `count` torch threads and restore the former number; 0 leaves it as it is."""
    before = torch.get_num_threads()
    if count in (0, before):
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
