"""Compiled loops over many accounts: opening them, and one bar for each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.account import account_step
from quantum_trader.envs.copying import copy_run
from quantum_trader.envs.jit import jit
from quantum_trader.envs.journal import ACCOUNT_WIDTH, HISTORY, note_bar
from quantum_trader.envs.layout import ACCOUNT, QUOTE, RULES, SEEN, START, TRADE_LOG, Matrix
from quantum_trader.envs.observe import View, account_features
from quantum_trader.envs.rules import notional_cap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@jit
def open_accounts(accounts: Matrix, which: Indices, starts: Matrix, rules: Matrix) -> None:
    """Start new episodes.

    Args:
        accounts: float64 [N, fields of `Account`], changed in place.
        which: int64 [K], the accounts that start.
        starts: float64 [K, fields of `Start`].
        rules: float64 [markets, fields of `Rules`].
    """
    every, begin, rule = accounts.view(ACCOUNT), starts.view(START), rules.view(RULES)
    for k in range(len(which)):
        accounts[which[k]] = 0.0
        account, start = every[which[k], 0], begin[k, 0]
        fixed = rule[int(start.market), 0]
        balance = fixed.initial_balance
        account.row = start.row
        account.market = start.market
        account.length = start.length
        account.leverage = start.leverage
        account.cost = start.cost
        account.notional_cap = notional_cap(start.leverage, fixed.tiers)
        account.balance = balance
        account.equity = balance
        account.peak = balance
        account.entry_row = -1.0
        account.intent_1 = math.nan
        account.intent_2 = math.nan


@jit
def in_range(values: Floats, low: float, high: float) -> bool:
    """Whether every one of `values`, float64 [N], is a number from `low` to `high`."""
    inside = True
    for value in values:
        inside &= (value >= low) & (value <= high)
    return inside


@jit
def step_accounts(
    accounts: Matrix,
    actions: Floats,
    bars: Matrix,
    rules: Matrix,
    rewards: Floats,
    terminated: Mask,
    truncated: Mask,
    view: View | None,
) -> int:
    """One bar for every account that is not finished, and what all of them see then.

    Finished accounts stay as they are. Observing each account right after its step lets the processor copy
    its window while it computes the next step.

    Args:
        accounts: float64 [N, fields of `Account`], changed in place.
        actions: float64 [N].
        bars: float64 [rows, fields of `Quote`].
        rules: float64 [markets, fields of `Rules`].
        rewards: float64 [N], written; 0 for finished accounts.
        terminated, truncated: bool [N], written; False for accounts that had finished before.
        view: as `gather_observations`; None leaves the accounts unobserved.

    Returns:
        How many finished in this bar.
    """
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    if view is not None:
        table, context, length, windows, numbers, contexts = view
        seen, width, wide = numbers.view(SEEN), table.shape[1], context.shape[1]
    ended = 0
    for i in range(len(accounts)):
        account = every[i, 0]
        if account.terminated == 0.0 and account.truncated == 0.0:
            row = int(account.row)
            fixed = rule[int(account.market), 0]
            account_step(account, actions[i], quotes[row, 0], quotes[row + 1, 0], fixed, None, False)
            rewards[i] = account.reward
            terminated[i] = account.terminated != 0.0
            truncated[i] = account.truncated != 0.0
            ended += 1 if terminated[i] or truncated[i] else 0
        else:
            account.reward = 0.0
            rewards[i] = 0.0
            terminated[i] = False
            truncated[i] = False
        if view is not None:
            # As in `gather_observations`: in a function of both, references to its arrays would be counted
            # for every account, which costs more than the account's step.
            row = int(account.row)
            if windows.shape[1] > 0:
                copy_run(windows, i * length * width, table, (row - length + 1) * width, length * width)
            if contexts.shape[1] > 0:
                copy_run(contexts, i * wide, context, row * wide, wide)
            if numbers.shape[1] > 0:
                account_features(account, quotes[row, 0], rule[int(account.market), 0], seen[i, 0])
    return ended


@jit
def step_single(
    run: Floats, steps: int, action: float, bars: Matrix, rules: Matrix, features: Floats32
) -> None:
    """One bar for one account that is not finished, with all that it leaves behind.

    Args:
        run: float64, of a `Journal`, with the account.
        steps: of the longest episode that fits the journal.
        action: of this account.
        bars, rules: as `step_accounts`.
        features: float32 [1, ACCOUNT_SIZE], written.
    """
    account, log = run[:ACCOUNT_WIDTH].view(ACCOUNT)[0], run[ACCOUNT_WIDTH:HISTORY].view(TRADE_LOG)[0]
    quotes, row = bars.view(QUOTE), int(account.row)
    rule = rules.view(RULES)[int(account.market), 0]
    last, bar = quotes[row, 0], quotes[row + 1, 0]
    account_step(account, action, last, bar, rule, log, False)
    note_bar(run, steps, int(account.step))
    account_features(account, bar, rule, features.view(SEEN)[0, 0])


@jit
def replay_actions(
    run: Floats, steps: int, actions: Floats, bars: Matrix, rules: Matrix, first: int, flatten: bool
) -> int:
    """A pass over bars with actions known beforehand, for one account.

    Long gaps are crossed without a position: it is closed before the gap, and what follows is not traded
    until a window is complete again. An account that terminates trades no more.

    Args:
        run: float64, of a `Journal`, with the account opened at row `first`.
        steps: n - 1.
        actions: float64 [n], action at the close of each bar from `first` on; the last one is never used.
        bars, rules: as `step_accounts`.
        first: row of the first decision.
        flatten: close what is open at the last bar.

    Returns:
        Number of bars until termination, n if there was none.
    """
    account, log = run[:ACCOUNT_WIDTH].view(ACCOUNT)[0], run[ACCOUNT_WIDTH:HISTORY].view(TRADE_LOG)[0]
    rule, quotes = rules.view(RULES)[0, 0], bars.view(QUOTE)
    bars_done = len(actions)
    for k in range(1, len(actions)):
        last, bar = quotes[first + k - 1, 0], quotes[first + k, 0]
        if account.terminated == 0.0 and last.open_ended == 1.0:
            final = k + 1 == len(actions)
            close_out = flatten if final else bar.open_ended == 0.0
            account_step(account, actions[k - 1], last, bar, rule, log, close_out)
            if account.terminated == 1.0:
                bars_done = k + 1
        else:
            account.row = first + k
            account.intent_1 = account.intent_2 = math.nan  # what waits does not fill after a gap
            account.reward = 0.0
            log.count = 0.0
            log.fills = 0.0
        account.truncated = 0.0
        note_bar(run, steps, k)
    return bars_done
