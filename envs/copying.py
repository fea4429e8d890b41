"""`copy_run`: memory copied in one stroke, from compiled code and from plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


def copy_run(target: Floats32, source: Floats32) -> None:
    """Copy `source` into `target`, both contiguous and of the same size.

    Compiled code calls the C library's memcpy, which picks the widest registers of the machine at hand and,
    for targets larger than the cache, writes around it; a loop compiled from Python does neither.
    """
    target[:] = source


@intrinsic
def _memcpy(typing_context: Any, target: Any, source: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, origin = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        memcpy: Any = cgutils.raw_memcpy
        memcpy(builder, into.data, origin.data, origin.nitems, origin.itemsize)
        return context.get_dummy_value()

    return types.void(target, source), generate


@overload(copy_run)
def _compiled_copy_run(target: Any, source: Any) -> Callable[..., None] | None:
    if not (target.layout == "C" and source.layout == "C" and target.dtype == source.dtype):
        return None

    def copy(target: Any, source: Any) -> None:
        _memcpy(target, source)  # type: ignore[call-arg]  # the typing context is numba's to give

    return copy
