"""Whether bfloat16 is worth it here."""

from __future__ import annotations

import os
import subprocess
import sys

import torch

from quantum_trader.agents.tft.precision import _runs_bf16, has_native_bf16


def test_a_library_without_bfloat16_kernels_gets_float32() -> None:
    """The processor may have them while oneDNN was told to do without: the LSTM would raise in training."""
    program = "from quantum_trader.agents.tft.precision import has_native_bf16; print(has_native_bf16())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.strip() == "False", done.stderr


def test_the_question_moves_nobodys_seed() -> None:
    """Asking draws no random number."""
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    _runs_bf16.cache_clear()
    has_native_bf16()
    assert torch.equal(torch.rand(4), wanted)
