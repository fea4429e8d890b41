"""gym-trading-env: positions of -5, 0 and +5 times equity with a fee; it knows no margin.

Its two features that follow the position are left out, which makes it faster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from gym_trading_env.environments import TradingEnv

from peers.rounds import endless
from peers.task import Task


def build(task: Task, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in one environment and returns how many."""
    features = {f"feature_{i}": column for i, column in enumerate(task.features.T)}
    times = pd.to_datetime(task.timestamp, unit="ms")
    env = TradingEnv(
        pd.DataFrame({**task.prices(), **features}, index=times),
        positions=[-task.leverage, 0, task.leverage],
        dynamic_feature_functions=[],
        windows=task.window,
        trading_fees=task.fee,
        initial_position=0,
        max_episode_duration=task.episode_bars,
        verbose=0,
    )
    actions = endless(np.random.default_rng(0).integers(0, 3, 2**18).tolist())
    env.reset(seed=0)

    def steps() -> int:
        done = 0
        for action in actions():
            done += 1
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return done

    return steps
