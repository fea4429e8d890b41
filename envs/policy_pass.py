"""`decide_in_turn`: what a policy that sees its account decides, all markets stepped together, bar by bar.

The stepping only finds out the decisions; `run_actions` then trades them like anyone else's, and the same
rules turn them into the same account.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.account import account_step
from quantum_trader.envs.actions import Action
from quantum_trader.envs.batch import open_accounts
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.jit import jit
from quantum_trader.envs.joined import join_markets
from quantum_trader.envs.layout import ACCOUNT, QUOTE, RULES, Matrix, matrix, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.observe import ACCOUNT_SIZE, gather_accounts
from quantum_trader.envs.starts import fixed_starts

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Actions = NDArray[np.int8]


class Policy(Protocol):
    """Decides for K accounts at once."""

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """Actions at the close of bars.

        Args:
            market: int64 [K], index of each account's market among those given.
            bar: int64 [K], index of the bar in that market.
            account: float32 [K, ACCOUNT_SIZE], see `quantum_trader.envs.observe.ACCOUNT_NAMES`.

        Returns:
            int8 [K], `Action` values.
        """
        ...


def look_up(tables: Sequence[Floats32], market: Indices, bar: Indices) -> Floats32:
    """Rows of tables that hold something for every bar of every market.

    Args:
        tables: one float32 [T, S] per market.
        market, bar: int64 [K] each, as `Policy.act` is given them.

    Returns:
        float32 [K, S].
    """
    return np.stack([tables[m][t] for m, t in zip(market, bar, strict=True)])


def decide_in_turn(policy: Policy, markets: Sequence[Market], config: EnvConfig) -> list[Actions]:
    """Every decision of a policy on one account per market, each decision knowing the account so far.

    Long gaps are crossed without a position, as in `run_actions`.

    Args:
        policy: asked at usable bars only.
        markets: each is passed through from its first usable bar to its end.
        config: the rules; `episode_bars` and what is drawn at random play no part.

    Returns:
        One int8 [T] per market; HOLD where no decision may be taken.
    """
    config = config.full_pass()
    joined = join_markets(markets, config)
    everyone = np.arange(len(markets), dtype=np.int64)
    accounts = matrix(len(markets), ACCOUNT)
    # Without random starts there is exactly one start per market: its first usable bar.
    open_accounts(accounts, everyone, fixed_starts(joined, config, joined.starts), joined.rules)
    stops, offsets = joined.offsets[1:], joined.offsets[:-1]
    open_ended = records(joined.bars, QUOTE)["open_ended"] == 1.0
    state = records(accounts, ACCOUNT)
    decided = np.full(len(joined.bars), Action.HOLD, dtype=np.int8)
    view = np.zeros((len(markets), ACCOUNT_SIZE), dtype=np.float32)
    while True:
        rows = state["row"].astype(np.int64)
        going = rows + 1 < stops
        if not going.any():
            break
        asked = np.flatnonzero(going & open_ended[rows] & (state["terminated"] == 0.0))
        if len(asked):
            gather_accounts(accounts, asked, joined.bars, joined.rules, view)
            decided[rows[asked]] = policy.act(asked, rows[asked] - offsets[asked], view[asked])
        _advance(accounts, decided, joined.bars, joined.rules, stops)
    return [decided[start:stop] for start, stop in zip(offsets, stops, strict=True)]


@jit
def _advance(accounts: Matrix, decided: Actions, bars: Matrix, rules: Matrix, stops: Indices) -> None:
    """One bar for every account, as `replay_actions` does it."""
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    for i in range(len(accounts)):
        account = every[i, 0]
        row = int(account.row)
        if row + 1 >= stops[i]:
            continue
        last, bar = quotes[row, 0], quotes[row + 1, 0]
        if account.terminated == 0.0 and last.open_ended == 1.0:
            close_out = row + 2 < stops[i] and bar.open_ended == 0.0
            account_step(account, float(decided[row]), last, bar, rule[i, 0], None, close_out)
        else:
            account.row = row + 1.0
            account.intent_1 = account.intent_2 = math.nan  # as in `replay_actions`
        account.truncated = 0.0
