"""What a run was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_LISTED = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Processor, cores, system and Python."""
    return {
        "processor": _line("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def bf16_instructions() -> dict[str, bool | None]:
    """Whether the processor multiplies bfloat16 in hardware; None where the system does not say."""
    flags = (_line("flags") or "").split()
    known = {"AMX": "amx_bf16", "AVX512-BF16": "avx512_bf16"}
    return {name: flag in flags if flags else None for name, flag in known.items()}


def _line(key: str) -> str:
    """What the first line of `key` in the system's list of processors says; "" if there is none."""
    if _LISTED.exists():
        for line in _LISTED.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""
