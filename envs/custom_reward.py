"""Rewards of the user's own, for the single and the vector environment alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.layout import ACCOUNT, Matrix, Records, records

Mask = NDArray[np.bool_]


class RewardFunction(Protocol):
    """The reward of one bar for N accounts at once."""

    def __call__(self, before: Records, after: Records) -> NDArray[Any]:
        """Rewards.

        Args:
            before: N accounts as the step found them; each field of `quantum_trader.envs.layout.Account` is
                float64 [N]: `before["equity"]`.
            after: the same accounts one bar later, those that finish included.

        Returns:
            float64 [N], finite.
        """
        ...


def put_rewards(function: RewardFunction, before: Matrix, after: Matrix, stepped: Mask) -> None:
    """Replace the rewards of the accounts that were stepped, in `after`, by those of `function`.

    Raises:
        ConfigError: `function` does not return one finite number for each account.
    """
    rewards = np.asarray(function(records(before, ACCOUNT), records(after, ACCOUNT)), dtype=np.float64)
    if rewards.shape != (len(after),) or not np.isfinite(rewards).all():
        found = "a number that is not finite" if rewards.shape == (len(after),) else f"shape {rewards.shape}"
        raise ConfigError(
            f"A reward function must return {len(after)} finite numbers, one for each account; found {found}."
        )
    account = records(after, ACCOUNT)
    rewards = np.where(stepped, rewards, 0.0)
    account["episode_return"] += rewards - account["reward"]
    account["reward"] = rewards
