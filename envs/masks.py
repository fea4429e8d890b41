"""Which discrete actions can change anything, for algorithms that mask the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.layout import ACCOUNT, Matrix, records


def action_masks(accounts: Matrix, config: EnvConfig) -> NDArray[np.bool_]:
    """bool [N, actions]: False where an action could only do what HOLD does.

    In mode "order" that is BUY at +`max_units` and SELL at -`max_units`, orders still delayed counted in. In
    mode "target" every action is allowed.

    Args:
        accounts: float64 [N, fields of `Account`].
        config: says how actions are meant.

    Raises:
        ConfigError: actions are continuous.
    """
    if config.actions == "continuous":
        raise ConfigError('Continuous actions have no masks: use actions="order" or "target".')
    if config.actions == "target":
        return np.ones((len(accounts), 2 * config.max_units + 1), dtype=np.bool_)
    account = records(accounts, ACCOUNT)
    units = account["units"].copy()
    for delayed in ("intent_1", "intent_2"):  # each order is clipped in its turn
        change = np.nan_to_num(account[delayed], nan=0.0)
        units = np.clip(units + change, -config.max_units, config.max_units)
    masks = np.ones((len(accounts), 3), dtype=np.bool_)
    masks[:, Action.BUY] = units < config.max_units
    masks[:, Action.SELL] = units > -config.max_units
    return masks
