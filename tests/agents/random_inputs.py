"""Random observations for networks whose answers only need to be of the right kind."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from quantum_trader.agents.network import Network, NetworkOutput
from quantum_trader.agents.network_config import NetworkConfig
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.context import CONTEXT_SIZE


def random_tensors(rows: int, config: NetworkConfig) -> tuple[Tensor, Tensor]:
    """Windows and context of `rows` observations for a network of the shape `config`."""
    return torch.randn(rows, config.window, config.features), torch.randn(rows, config.context_size)


def random_inputs(rows: int) -> ModelInputs:
    """The same for agents; as many rows are always the same ones."""
    rng = np.random.default_rng(rows)
    return ModelInputs(
        windows=rng.standard_normal((rows, 60, 14)).astype(np.float32),
        context=rng.standard_normal((rows, CONTEXT_SIZE)).astype(np.float32),
    )


def answer(model: Network, windows: Tensor, context: Tensor) -> NetworkOutput:
    """What `model` says in service."""
    with torch.inference_mode():
        output: NetworkOutput = model.eval()(windows, context)
    return output
