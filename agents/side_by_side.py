"""Calls on other threads, which stay for the next time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_pools: dict[int, ThreadPoolExecutor] = {}
"""By number of threads. Shared by the whole process: however many callers there are, a core gets one pass."""

_LATER = 0
"""Key of the one thread that does what nobody waits for."""

# A forked child inherits the pools but none of their threads, and would wait for these for ever. Windows
# has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)


def side_by_side(function: Callable[[Item], Answer], items: Sequence[Item], threads: int) -> list[Answer]:
    """`function` of each item, in their order, on so many threads; one item or one thread needs no other."""
    if threads <= 1 or len(items) <= 1:
        return [function(item) for item in items]
    return list(_pool(threads).map(function, items))


def later(function: Callable[[], object]) -> None:
    """Call `function` behind whatever was asked for before, while the caller goes on; errors are dropped.

    The end of the process waits for it: a thread that is cut off in the midst of a library's call can crash
    the interpreter's shutdown.
    """
    _pool(_LATER).submit(function)


def _pool(key: int) -> ThreadPoolExecutor:
    found = _pools.get(key)
    if found is None:
        found = _pools.setdefault(key, ThreadPoolExecutor(key or 1, thread_name_prefix="passes"))
    return found
