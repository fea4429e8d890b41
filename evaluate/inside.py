"""What happens inside a network while it answers: attention and the weights of variable selection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import Agent, ModelInputs

Floats32 = NDArray[np.float32]

_CHUNK = 64
"""Rows per pass: the tensors of more no longer fit the caches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inside:
    """The weights behind `B` answers.

    Attributes:
        attention: float32 [B, 60], weight of each bar, oldest first; rows sum to 1.
        steps: float32 [B, 60, 14], selection weights of the features bar by bar, or None; each bar sums to 1,
            one that the network does not look at to 0.
        static: float32 [B, 6], selection weights of the static numbers, or None; rows sum to 1.
        bars_seen: newest bars that the network looks at.
    """

    attention: Floats32
    steps: Floats32 | None
    static: Floats32 | None
    bars_seen: int

    @property
    def importances(self) -> Floats32 | None:
        """float32 [B, 14]: mean of `steps` over the bars looked at, rows sum to 1; None without them."""
        if self.steps is None:
            return None
        means: Floats32 = self.steps[:, -self.bars_seen :].mean(axis=1)
        return means


def look_inside(agent: Agent, inputs: ModelInputs) -> Inside | None:
    """The weights behind the answers to `inputs`; None if the agent is no network.

    The pass is made in float32 whatever precision the agent answers in, so that a row's weights do not
    depend on the rows beside it.
    """
    from quantum_trader.agents.network_agent import NetworkAgent

    if not isinstance(agent, NetworkAgent):
        return None
    import torch

    from quantum_trader.agents.tft.precision import torch_threads

    attention, steps, static = [], [], []
    with torch.inference_mode(), torch_threads(1):
        for start in range(0, len(inputs), _CHUNK):
            rows = slice(start, start + _CHUNK)
            output = agent.model(
                torch.from_numpy(inputs.windows[rows]), torch.from_numpy(inputs.context[rows])
            )
            attention.append(output.attention.numpy())
            if output.importances is not None:
                steps.append(output.importances.numpy())
            if output.static_importances is not None:
                static.append(output.static_importances.numpy())
    return Inside(
        attention=np.concatenate(attention),
        steps=np.concatenate(steps) if steps else None,
        static=np.concatenate(static) if static else None,
        bars_seen=agent.model.config.bars_seen,
    )
