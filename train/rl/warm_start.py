"""Warm start: before learning by trial, the actor imitates what the TFT's forecast alone would trade.

A policy that begins at random trades on nearly every bar, learns first that this loses, and stays out for
good before it has met the few bars on which a forecast is worth its costs. Beginning with those, it refines
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn import functional

from quantum_trader.agents.policy_state import FIRST_MEDIAN
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.observe import ACCOUNT_NAMES, flat_account
from quantum_trader.train.rl.config import Algorithm, RLConfig
from quantum_trader.train.rl.table import EncodedMarket

Floats32 = NDArray[np.float32]

_STEPS = 400
_BATCH = 4096
_STEP_SIZE = 1e-2
_SMOOTHING = 0.15
"""Probability left to what the rule would not do, so that there is something to explore."""
_KEEP = 0.5
"""A position is kept while the forecast is beyond this share of the cost of a new one."""


def can_warm_start(algorithm: Algorithm, config: RLConfig) -> bool:
    """Whether there is an actor of three targets that sees the forecasts."""
    feedforward = algorithm in ("ppo", "a2c")
    return feedforward and config.features != "encoder" and config.env.actions == "target"


def round_trip(contract: FuturesContract) -> float:
    """Cost of opening and closing, in percent of the notional."""
    return 200.0 * (contract.taker_fee + contract.slippage)


def wanted(forecast: Floats32, cost: Floats32, side: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [N], target actions 0, 1, 2 (short, none, long) of the rule that is imitated.

    Long where the median return of the next bar exceeds the cost of a round trip, short where it falls below
    the negative; a position is kept while the forecast exceeds half of that cost in its direction.

    Args:
        forecast: float32 [N], percent.
        cost: float32 [N], percent.
        side: int64 [N], -1, 0 or 1: the position held.
    """
    opened = np.where(forecast > cost, 1, np.where(forecast < -cost, -1, 0))
    kept = np.where(forecast * side > _KEEP * cost, side, 0)
    return np.where(opened != 0, opened, kept) + 1


def warm_start(model: BaseAlgorithm, train: Sequence[EncodedMarket], tft: TFTAgent, config: RLConfig) -> None:
    """Fit the actor of `model` to the rule, on training rows with drawn positions.

    Args:
        model: PPO or A2C, untrained, its states' scale set.
        train: the training markets.
        tft: whose forecasts the tables hold.
        config: its seed draws rows and positions.
    """
    random = np.random.default_rng([config.seed, 1])
    column = FIRST_MEDIAN + (tft.embedding_size if config.features == "both" else 0)
    states = np.concatenate([item.table[item.market.usable] for item in train])
    cost = np.concatenate(
        [
            np.full(int(item.market.usable.sum()), round_trip(item.market.contract), dtype=np.float32)
            for item in train
        ]
    )
    eager = np.flatnonzero(np.abs(states[:, column]) > _KEEP * cost)
    policy: Any = model.policy
    optimiser = torch.optim.Adam(policy.parameters(), lr=_STEP_SIZE)
    for _ in range(_STEPS):
        rows = random.integers(len(states), size=_BATCH)
        if len(eager):
            # Bars worth a trade are rare: half of a batch is drawn among them and their near misses.
            rows[: _BATCH // 2] = random.choice(eager, size=_BATCH // 2)
        side = random.integers(-1, 2, size=_BATCH)
        seen = {
            "embedding": torch.from_numpy(states[rows]),
            "account": torch.from_numpy(_accounts(side, random)),
        }
        goal = torch.from_numpy(wanted(states[rows, column], cost[rows], side))
        logits = policy.get_distribution(seen).distribution.logits
        loss = functional.cross_entropy(logits, goal, label_smoothing=_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _accounts(side: NDArray[np.int64], random: np.random.Generator) -> Floats32:
    """float32 [N, ACCOUNT_SIZE]: accounts with these positions, the rest drawn in its usual range."""
    count = len(side)
    held = np.abs(side)
    accounts = np.tile(flat_account(), (count, 1))
    drawn = {
        "position": side,
        "exposure": side * random.uniform(0.9, 1.1, count),
        "unrealised_pnl": held * random.normal(0.0, 0.02, count),
        "bars_in_position": held * random.uniform(0.0, 0.5, count),
        "liquidation_distance": np.where(held == 1, random.uniform(0.5, 1.0, count), 1.0),
        "margin_ratio": held * random.uniform(0.0, 0.05, count),
        "drawdown": random.uniform(0.0, 0.2, count),
        "time_to_funding": random.uniform(0.0, 1.0, count),
    }
    for name, values in drawn.items():
        accounts[:, ACCOUNT_NAMES.index(name)] = values
    return accounts
