"""TorchTrade's `SequentialTradingEnv`: leverage, isolated margin, liquidation and a fee; no funding.

Episodes have the task's length and random starts. Slippage is left at 0, and gradients are off. Accounts of
the vectorised environment start together, so that most end together too: its best round has few resets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torchrl.envs import EnvBase
from torchtrade.envs.offline.sequential import SequentialTradingEnv, SequentialTradingEnvConfig

from peers.rounds import CHUNK, endless
from peers.task import Task


def build(task: Task, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in one environment and returns how many."""
    env = SequentialTradingEnv(frame(task), SequentialTradingEnvConfig(**terms(task)), features_of)
    return stepper(env, ())


def terms(task: Task) -> dict[str, Any]:
    """What the scalar and the vectorised configuration have in common."""
    return {
        "time_frames": "1Hour",
        "execute_on": "1Hour",
        "window_sizes": task.window,
        "max_traj_length": task.episode_bars,
        "random_start": True,
        "transaction_fee": task.fee,
        "action_levels": [-1, 0, 1],
        "leverage": int(task.leverage),
        "seed": 0,
    }


def frame(task: Task) -> pd.DataFrame:
    """Bars and features, as TorchTrade takes them."""
    features = {f"features_{i}": column for i, column in enumerate(task.features.T)}
    times = pd.to_datetime(task.timestamp, unit="ms")
    return pd.DataFrame({"timestamp": times, **task.prices(), "volume": task.volume, **features})


def features_of(bars: pd.DataFrame) -> pd.DataFrame:
    """The columns are computed already; TorchTrade keeps those whose names begin with "features_"."""
    return bars.reset_index()


def stepper(env: EnvBase, shape: tuple[int, ...]) -> Callable[[], int]:
    """Steps the way TorchRL's collectors do, resets included: faster here than `step`, and than `rollout`."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    batches = max(CHUNK, 2**18 // math.prod(shape))
    actions = endless(torch.randint(0, 3, (batches, *shape), generator=draw).unbind())
    with torch.inference_mode():
        state = env.reset()

    def steps() -> int:
        nonlocal state
        done = 0
        with torch.inference_mode():
            for action in actions():
                state["action"] = action
                _, state = env.step_and_maybe_reset(state)
                done += action.numel()
        return done

    return steps
