"""Keeping full garbage collections short."""

from __future__ import annotations

import gc


def set_aside() -> None:
    """Let the garbage collector leave alone what is there now: libraries, models, histories.

    A full collection looks at every object, half a million of them once PyTorch and the models are loaded,
    and stops all threads meanwhile, for a large part of a second. Under a hundred clients one was due every
    few seconds, and all who waited then waited several times as long as usual.

    For programs that load models once and then answer: libraries leave that to them.

    Objects that are set aside are still freed when the last reference to them goes; calling this again frees
    those in cycles that were set aside before, such as models that others have replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
