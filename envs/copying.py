"""`copy_row`: a run of memory copied in one stroke, from compiled code and from plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


def _copy_row(target: Floats32, row: int, source: Floats32, first: int) -> None:
    """Fill row `row` of `target` with as many numbers of `source`, read row after row from number `first` on.

    Compiled code calls the C library's memcpy, which picks the widest registers of the machine at hand and,
    for targets larger than the cache, writes around it; a loop compiled from Python does neither. No view is
    made and no function is called, because counting references to an array for every account would cost as
    much as its step. Nothing is checked.

    Args:
        target: [N, K], C-contiguous.
        row: below N.
        source: [rows, F], C-contiguous, of the same type, with `first` + K numbers or more.
        first: from 0.
    """
    target[row] = source.reshape(-1)[first : first + target.shape[1]]


@intrinsic
def _memcpy_row(typing_context: Any, target: Any, row: Any, source: Any, first: Any) -> Any:
    """`_copy_row` in compiled code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tools: Any = cgutils
        into, origin = (context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2))
        count = tools.unpack_tuple(builder, into.shape)[1]
        begin = builder.gep(into.data, [builder.mul(arguments[1], count)])
        tools.raw_memcpy(builder, begin, builder.gep(origin.data, [arguments[3]]), count, into.itemsize)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), generate


copy_row: Callable[[Floats32, int, Floats32, int], None] = (
    _copy_row if numba.config.DISABLE_JIT else _memcpy_row  # type: ignore[attr-defined, assignment]
)
"""See `_copy_row`."""
