"""Checkpoints: tensors and plain values only, written whole or not at all, bound to one configuration."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import atomic_file

_HASH = "config_sha256"


def write_checkpoint(path: Path, state: dict[str, Any], *, config_sha256: str) -> None:
    """Write `state` to `path`.

    Args:
        path: the file; an older checkpoint there is replaced only once the new one is complete.
        state: nested dicts and lists of tensors, numbers, strings and None.
        config_sha256: hash of everything that decides how training goes on.
    """
    with atomic_file(path) as temporary:
        torch.save({_HASH: config_sha256, "state": state}, temporary)


def read_checkpoint(path: Path, *, config_sha256: str) -> dict[str, Any] | None:
    """The state at `path`, or None if there is no checkpoint. No code in the file can run.

    Raises:
        TrainingError: the file is damaged, or belongs to another configuration or other data.
    """
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        found, state = saved[_HASH], saved["state"]
    except (RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(f"{path} is damaged ({reason}): delete it to start anew.") from error
    if found != config_sha256:
        raise TrainingError(
            f"{path} belongs to another configuration or other data: delete it to start anew, "
            "or train under another run name."
        )
    return dict(state)
