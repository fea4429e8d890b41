"""gym-anytrading: `StocksEnv` with features of one's own, as its README overrides `_process_data`.

Buys or sells everything, with a fee; no leverage and no liquidation. An episode is the whole series.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from gym_anytrading.envs import StocksEnv

from peers.rounds import endless
from peers.task import Task


class _Env(StocksEnv):  # type: ignore[misc]
    def __init__(self, task: Task) -> None:
        self._task = task
        frame = pd.DataFrame({"Close": task.close})
        super().__init__(frame, task.window, (task.window, len(frame)))

    def _process_data(self) -> tuple[np.ndarray, np.ndarray]:
        return self._task.close.astype(np.float32), self._task.features


def build(task: Task, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in one environment and returns how many."""
    env = _Env(task)
    actions = endless(np.random.default_rng(0).integers(0, 2, 2**18).tolist())
    env.reset(seed=0)

    def steps() -> int:
        done = 0
        for action in actions():
            done += 1
            if env.step(action)[3]:
                env.reset()
        return done

    return steps
