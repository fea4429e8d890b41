"""What to do when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from quantum_trader.envs.errors import TrainingError

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "alloc_failed")
"""Words of the CPU's allocators, CUDA's, and of cuBLAS and cuDNN."""


@contextmanager
def explained_memory_errors(remedy: str) -> Iterator[None]:
    """Turn an exhausted memory, the CPU's or a GPU's, into a `TrainingError` that names the remedy."""
    try:
        yield
    except TrainingError:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise TrainingError(f"Memory ran out: {remedy}.") from error
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        raise TrainingError(f"Memory ran out: {remedy}.") from error


def less_memory(name: str, *, batch_size: int, accumulate: int) -> str:
    """The remedy for a training that needs too much memory.

    Args:
        name: of the agent, as in its options.
        batch_size, accumulate: what they are now.
    """
    return (
        f"lower batch_size (now {batch_size}): --{name}.batch-size {max(batch_size // 2, 1)} "
        f"--{name}.accumulate {2 * accumulate} takes the same steps with less memory; or take a smaller "
        f"--preset, or try on a part of the rows with --{name}.max-samples"
    )
