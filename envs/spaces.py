"""Observation and action spaces of one account, from markets and configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from quantum_trader.envs.context import CONTEXT_SIZE, STATIC_SIZE
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.formulas import STATIC_CLIP
from quantum_trader.envs.joined import JoinedMarkets
from quantum_trader.envs.observe import ACCOUNT_HIGH, ACCOUNT_LOW


def window_space(joined: JoinedMarkets, config: EnvConfig) -> spaces.Box:
    """float32 [window, 14], bounded by the scalers' clip."""
    clip = max(market.scaler.clip for market in joined.markets)
    return spaces.Box(-clip, clip, (config.window, joined.table.shape[1]), np.float32)


def account_space() -> spaces.Box:
    """float32 [ACCOUNT_SIZE]."""
    return spaces.Box(ACCOUNT_LOW, ACCOUNT_HIGH, dtype=np.float32)


def context_space() -> spaces.Box:
    """float32 [CONTEXT_SIZE]: clipped static numbers, then points on circles."""
    high = np.ones(CONTEXT_SIZE, dtype=np.float32)
    high[:STATIC_SIZE] = STATIC_CLIP
    return spaces.Box(-high, high, dtype=np.float32)


def observation_space(joined: JoinedMarkets, config: EnvConfig) -> spaces.Space[Any]:
    """`Dict(window, account, context)`, or the bare window without `observe_account`."""
    window = window_space(joined, config)
    if not config.observe_account:
        return window
    return spaces.Dict({"window": window, "account": account_space(), "context": context_space()})


def action_space(config: EnvConfig) -> spaces.Space[Any]:
    """Discrete(3), Discrete(2 max_units + 1) or Box(-1, 1, (1,))."""
    if config.actions == "order":
        return spaces.Discrete(3)
    if config.actions == "target":
        return spaces.Discrete(2 * config.max_units + 1)
    return spaces.Box(-1.0, 1.0, (1,), np.float32)
