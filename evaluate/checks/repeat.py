"""Does the same seed give the same predictions?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate.records import CheckResult


def deterministic(make: Callable[[], NDArray[Any]], what: str = "predictions") -> CheckResult:
    """Whether two calls of `make` give the same bits.

    Args:
        make: fits with a fixed seed and returns what was predicted; called twice.
        what: what it makes, for the answer.
    """
    first, second = fingerprint(make()), fingerprint(make())
    same = first == second
    found = f"both {first[:12]}" if same else f"first {first[:12]}, then {second[:12]}"
    return CheckResult(
        name="deterministic",
        question="Does the same seed give the same predictions, bit for bit?",
        passed=same,
        detail=f"Hash of {what}: {found}.",
    )


def fingerprint(values: NDArray[Any]) -> str:
    """Hex SHA-256 of an array's type, shape and bits."""
    sha = hashlib.sha256(f"{values.dtype.str}|{values.shape}".encode())
    sha.update(np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()
