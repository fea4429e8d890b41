"""Memory of training: keep what was freed, and say what to do when it runs out."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from quantum_trader.envs.errors import TrainingError

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BELOW = 1 << 30

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks for this process instead of giving them back to the system.

    Every training step allocates the same large tensors. glibc returns blocks of this size to the system when
    they are freed and faults them in again, page by page, at the next step: half of a step's time. Lasts
    until the process ends and does not change any result. False where the C library has no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW) and mallopt(_M_TRIM_THRESHOLD, _KEEP_BELOW))


@contextmanager
def explained_memory_errors(remedy: str) -> Iterator[None]:
    """Turn an exhausted memory into a `TrainingError` that names the remedy."""
    try:
        yield
    except MemoryError as error:
        raise TrainingError(f"Memory ran out: {remedy}.") from error
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        raise TrainingError(f"Memory ran out: {remedy}.") from error
