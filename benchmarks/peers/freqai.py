"""FreqAI's `Base5ActionRLEnv` with a reward that costs next to nothing: the change of the open profit.

It has a fee and a drawdown that ends an episode, but no leverage, and returns windows as DataFrames. What
stable-baselines3 pays to convert them is not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from freqtrade.freqai.RL.Base5ActionRLEnv import Base5ActionRLEnv

from peers.rounds import endless
from peers.task import Task


class _Env(Base5ActionRLEnv):  # type: ignore[misc]
    _before = 1.0

    def calculate_reward(self, action: int) -> float:
        before, self._before = self._before, self._total_unrealized_profit
        return float(self._before - before)


def build(task: Task, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in one environment and returns how many."""
    features = pd.DataFrame(task.features)
    config: dict[str, Any] = {
        "stake_amount": "unlimited",
        "freqai": {"rl_config": {"randomize_starting_position": True}},
    }
    env = _Env(
        df=features,
        df_raw=features,
        prices=pd.DataFrame(task.prices()),
        reward_kwargs={"rr": 1, "profit_aim": 0.025},
        window_size=task.window,
        config=config,
        fee=task.fee,
        can_short=True,
    )
    actions = endless(np.random.default_rng(0).integers(0, 5, 2**18).tolist())
    env.reset()

    def steps() -> int:
        done = 0
        for action in actions():
            done += 1
            if env.step(action)[2]:
                env.reset()
        return done

    return steps
