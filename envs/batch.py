"""Compiled loops over many accounts: opening them, and one bar for each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.account import account_step
from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import ACCOUNT, QUOTE, RULES, START, TRADE_LOG, Matrix
from quantum_trader.envs.observe import account_features
from quantum_trader.envs.rules import notional_cap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]


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
def step_accounts(accounts: Matrix, actions: Floats, bars: Matrix, rules: Matrix) -> None:
    """One bar for every account that is not finished; finished ones stay as they are, their reward 0.

    Args:
        accounts: float64 [N, fields of `Account`], changed in place.
        actions: float64 [N].
        bars: float64 [rows, fields of `Quote`].
        rules: float64 [markets, fields of `Rules`].
    """
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    for i in range(len(accounts)):
        account = every[i, 0]
        if account.terminated == 0.0 and account.truncated == 0.0:
            row = int(account.row)
            fixed = rule[int(account.market), 0]
            account_step(account, actions[i], quotes[row, 0], quotes[row + 1, 0], fixed, None, False)
        else:
            account.reward = 0.0


@jit
def step_single(
    accounts: Matrix,
    actions: Floats,
    bars: Matrix,
    rules: Matrix,
    logs: Matrix,
    history: Matrix,
    features: Floats32,
) -> None:
    """One bar for one account that is not finished, with its history, trades and description.

    Args:
        accounts: float64 [1, fields of `Account`].
        actions, bars, rules: as `step_accounts`.
        logs: float64 [1, fields of `TradeLog`], what this bar did.
        history: float64 [steps + 1, fields of `Account`]; the row of this step is written.
        features: float32 [1, ACCOUNT_SIZE], written.
    """
    account, quotes = accounts.view(ACCOUNT)[0, 0], bars.view(QUOTE)
    row, rule = int(account.row), rules.view(RULES)[int(account.market), 0]
    last, bar = quotes[row, 0], quotes[row + 1, 0]
    account_step(account, actions[0], last, bar, rule, logs.view(TRADE_LOG)[0, 0], False)
    account_features(account, bar, rule, features[0])
    history[int(account.step)] = accounts[0]


@jit
def replay_actions(
    accounts: Matrix,
    actions: Floats,
    bars: Matrix,
    rules: Matrix,
    logs: Matrix,
    trades: Matrix,
    fills: Matrix,
    first: int,
    history: Matrix,
    flatten: bool,
) -> tuple[int, int]:
    """A pass over bars with actions known beforehand, for one account.

    Long gaps are crossed without a position: it is closed before the gap, and what follows is not traded
    until a window is complete again. An account that terminates trades no more.

    Args:
        accounts: float64 [1, fields of `Account`], opened at row `first`.
        actions: float64 [n], action at the close of each bar from `first` on; the last one is never used.
        bars, rules: as `step_accounts`.
        logs: float64 [1, fields of `TradeLog`], overwritten.
        trades: float64 [2 n, fields of `Trade`].
        fills: float64 [3 n, fields of `Fill`].
        first: row of the first decision.
        history: float64 [n, fields of `Account`], the account after each bar.
        flatten: close what is open at the last bar.

    Returns:
        Number of bars until termination, n if there was none; number of fills.
    """
    account, rule = accounts.view(ACCOUNT)[0, 0], rules.view(RULES)[0, 0]
    quotes, log = bars.view(QUOTE), logs.view(TRADE_LOG)[0, 0]
    width, closed = trades.shape[1], 0
    size, executed = fills.shape[1], 0
    origin = 1 + 2 * width + 1  # of the first fill in a log
    bars_done = len(actions)
    history[0] = accounts[0]
    for k in range(1, len(actions)):
        last, bar = quotes[first + k - 1, 0], quotes[first + k, 0]
        if account.terminated == 0.0 and last.open_ended == 1.0:
            final = k + 1 == len(actions)
            close_out = flatten if final else bar.open_ended == 0.0
            account_step(account, actions[k - 1], last, bar, rule, log, close_out)
            for trade in range(int(log.count)):
                trades[closed] = logs[0, 1 + trade * width : 1 + (trade + 1) * width]
                closed += 1
            for fill in range(int(log.fills)):
                fills[executed] = logs[0, origin + fill * size : origin + (fill + 1) * size]
                executed += 1
            if account.terminated == 1.0:
                bars_done = k + 1
        else:
            account.row = first + k
            account.reward = 0.0
        account.truncated = 0.0
        history[k] = accounts[0]
    return bars_done, executed
