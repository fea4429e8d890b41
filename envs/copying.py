"""`copy_run`: a run of memory copied in one stroke, from compiled code and from plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[Any]


def _copy_run(target: Array, at: int, source: Array, first: int, count: int) -> None:
    """Copy `count` numbers of `source` from number `first` on to number `at` of `target` and those after it.

    Compiled code calls the C library's memcpy, which picks the widest registers of the machine at hand and,
    for targets larger than the cache, writes around it; a loop compiled from Python does neither. No view is
    made and no function is called, because counting references to an array for every account would cost as
    much as its step. Nothing is checked.

    Args:
        target: C-contiguous; numbers are counted row after row.
        at: from 0.
        source: C-contiguous, of the same type; the two runs do not overlap.
        first: from 0.
        count: from 0.
    """
    target.reshape(-1)[at : at + count] = source.reshape(-1)[first : first + count]


@intrinsic
def _memcpy_run(typing_context: Any, target: Any, at: Any, source: Any, first: Any, count: Any) -> Any:
    """`_copy_run` in compiled code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, origin = (context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2))
        begin, start = builder.gep(into.data, [arguments[1]]), builder.gep(origin.data, [arguments[3]])
        memcpy: Any = cgutils.raw_memcpy
        memcpy(builder, begin, start, arguments[4], into.itemsize)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


copy_run: Callable[[Array, int, Array, int, int], None] = (
    _copy_run if numba.config.DISABLE_JIT else _memcpy_run  # type: ignore[attr-defined, assignment]
)
"""See `_copy_run`."""
