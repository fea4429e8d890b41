"""A typed `numba.njit`: compiled functions keep their signature and stay plain Python inside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Compiled(Protocol, Generic[P, R]):
    """A compiled function; `py_func` is the Python function it was made from."""

    @property
    def py_func(self) -> Callable[P, R]: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


def jit(function: Callable[P, R]) -> Compiled[P, R]:
    """Compile `function` in nopython mode, cached on disk; division by zero gives inf or NaN as in NumPy.

    No fast-math: the compiled function rounds exactly as the Python function does. Whoever calls it from
    compiled code gets its body instead of a call: an account step is 1.4 times as fast that way.
    """
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _CACHE or before
    try:
        return cast(Compiled[P, R], cached_njit(function, error_model="numpy", forceinline=True))
    finally:
        settings.CACHE_DIR = before


def cached_njit(function: Callable[..., Any], **options: Any) -> Any:
    """`numba.njit` of `function`, kept on disk where there is a place for it.

    A service without a home folder, or a container that may not write, has none: it compiles at every start.
    """
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "no locator available"; nothing is compiled yet
        return numba.njit(**options)(function)


def _cache_folder() -> str:
    """A cache folder for just these sources, or "" (numba's own choice) where it cannot be written.

    Numba keys a cached function by its own file alone, although functions of other files are compiled into
    it: after a change of a rule only, it would go on running the old one. Here every version of the compiled
    sources has its own folder.
    """
    folder = Path(__file__).parent
    sources = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    compiled = [source for source in sources if any(mark in source for mark in _COMPILED)]
    cache = folder / "__pycache__"
    if not os.access(cache if cache.exists() else folder, os.W_OK):
        return ""
    return str(cache / f"numba-{hashlib.sha256(b''.join(compiled)).hexdigest()[:16]}")


_COMPILED = (b"\n@jit\n", b"@intrinsic", b"np.record")
_CACHE = _cache_folder()
