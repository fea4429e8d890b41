"""TorchTrade's `VectorizedSequentialTradingEnv`: the same rules for many accounts, as operations on tensors.

`EnvBase.compile` is not used: it made these environments slower.
"""

from __future__ import annotations

from collections.abc import Callable

from torchtrade.envs.offline.vectorized_sequential import (
    VectorizedSequentialTradingEnv,
    VectorizedSequentialTradingEnvConfig,
)

from peers.task import Task
from peers.torchtrade import features_of, frame, stepper, terms


def build(task: Task, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in so many accounts and returns how many over all of them."""
    config = VectorizedSequentialTradingEnvConfig(num_envs=accounts, **terms(task))
    return stepper(VectorizedSequentialTradingEnv(frame(task), config, features_of), (accounts,))
