"""Weights of a network as a safetensors file, read strictly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import nn

from quantum_trader.envs.errors import ModelFolderError

Module = TypeVar("Module", bound=nn.Module)


def write_weights(model: nn.Module, path: Path) -> None:
    """Write every parameter of `model` to `path`."""
    save_file({name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}, path)


def read_weights(build: Callable[[], Module], path: Path) -> Module:
    """The network that `build` makes, with the weights at `path`.

    Raises:
        ModelFolderError: the file is damaged, or its names, shapes or formats are not those of the network.
    """
    try:
        state = load(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFolderError(f"{path} is damaged ({error}): copy the model folder again.") from error
    with torch.device("meta"):
        model = build()
    wanted = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in model.state_dict().items()}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}
    if wanted != found:
        name = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))[0]
        raise ModelFolderError(
            f"{path}: expected {_text(wanted.get(name))} for {name}, found {_text(found.get(name))}: "
            "the weights belong to another config, train the model again."
        )
    # A fresh network rather than the empty one, because its buffers are computed and not stored.
    with torch.random.fork_rng(devices=[]):
        model = build()
    model.load_state_dict(state)
    return model


def _text(record: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    return "nothing" if record is None else f"{list(record[0])} {record[1]}".replace("torch.", "")
