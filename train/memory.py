"""What to do when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quantum_trader.envs.errors import TrainingError

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


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
