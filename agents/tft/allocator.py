"""Memory that is freed and needed again at once."""

from __future__ import annotations

import ctypes
from functools import cache

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BELOW = 1 << 30


@cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks for this process instead of giving them back to the system.

    Every pass through the network allocates the same large tensors. glibc returns blocks of this size to the
    system when they are freed and faults them in again, page by page, at the next pass: up to half of the
    time. Lasts until the process ends and changes no result. False where the C library has no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP_BELOW) and mallopt(_M_TRIM_THRESHOLD, _KEEP_BELOW))
