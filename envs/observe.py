"""What an account looks like to an agent, and the compiled gathering of windows and table rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.copying import copy_run
from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import ACCOUNT, MODE_ORDER, QUOTE, RULES, Account, Matrix, Quote, Rules
from quantum_trader.envs.rules import maintenance_margin, unrealised_pnl

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

ACCOUNT_NAMES: tuple[str, ...] = (
    "position",
    "unrealised_pnl",
    "exposure",
    "margin_ratio",
    "liquidation_distance",
    "bars_in_position",
    "time_to_funding",
    "drawdown",
    "stop_distance",
    "target_distance",
    "pending",
)
"""Formulas and ranges: `quantum_trader.envs.env.FuturesTradingEnv`."""
ACCOUNT_SIZE = len(ACCOUNT_NAMES)
ACCOUNT_LOW = np.array([-1, -1, -2, 0, 0, 0, 0, 0, 0, 0, -2], dtype=np.float32)
ACCOUNT_HIGH = np.array([1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2], dtype=np.float32)

_HALF_LIFE_BARS = 24.0
_FAR_ATRS = 10.0


def flat_account(time_to_funding: float = 1.0) -> Floats32:
    """float32 [ACCOUNT_SIZE]: the numbers of an account without a position at its highest equity so far."""
    return np.array([0, 0, 0, 0, 1, 0, time_to_funding, 0, 1, 1, 0], dtype=np.float32)


@jit
def account_features(account: Account, bar: Quote, rules: Rules, out: Floats32) -> None:
    """Write the `ACCOUNT_NAMES` of one account into `out`, float32 [ACCOUNT_SIZE]."""
    equity = account.equity
    out[6] = bar.to_funding
    out[7] = 1.0 - equity / account.peak
    out[10] = _clip(pending_units(account, rules) / rules.max_units, -2.0, 2.0)
    quantity = account.quantity
    if quantity == 0.0 or equity <= 0.0:
        out[0] = out[1] = out[2] = out[3] = out[5] = 0.0
        out[4] = out[8] = out[9] = 1.0
        return
    side = 1.0 if quantity > 0.0 else -1.0
    price = bar.mark_close
    pnl = unrealised_pnl(quantity, account.entry, price)
    held = account.row - account.entry_row + 1.0
    at = account.entry if rules.on_entry == 1.0 else price
    needed = maintenance_margin(abs(quantity) * at, rules.tiers)
    backing = account.margin + pnl
    out[0] = account.units / rules.max_units
    out[1] = _clip(pnl / equity, -1.0, 1.0)
    out[2] = _clip(quantity * price / (account.leverage * equity), -2.0, 2.0)
    out[3] = _clip(needed / backing, 0.0, 1.0) if backing > 0.0 else 1.0
    out[4] = _clip(side * (price - account.liquidation) / price, 0.0, 1.0)
    out[5] = held / (held + _HALF_LIFE_BARS)
    out[8] = _distance(side * (price - account.stop), bar.atr)
    out[9] = _distance(side * (account.target - price), bar.atr)


@jit
def pending_units(account: Account, rules: Rules) -> float:
    """Change of units that delayed decisions, not yet filled, ask for; 0 without a delay."""
    first, second = account.intent_1, account.intent_2
    if rules.mode == MODE_ORDER:
        return (0.0 if math.isnan(first) else first) + (0.0 if math.isnan(second) else second)
    newest = first if math.isnan(second) else second
    return 0.0 if math.isnan(newest) else newest - account.units


@jit
def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@jit
def _distance(gap: float, atr: float) -> float:
    if math.isinf(gap) or not atr > 0.0:
        return 1.0
    return _clip(gap / (_FAR_ATRS * atr), 0.0, 1.0)


@jit
def gather_accounts(accounts: Matrix, which: Indices, bars: Matrix, rules: Matrix, out: Floats32) -> None:
    """Write the account numbers of accounts `which` into their rows of `out`, float32 [N, ACCOUNT_SIZE]."""
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    for i in which:
        account = every[i, 0]
        account_features(account, quotes[int(account.row), 0], rule[int(account.market), 0], out[i])


@jit
def gather_windows(accounts: Matrix, which: Indices, table: Floats32, length: int, out: Floats32) -> None:
    """Copy the windows of accounts `which` into their rows of `out`.

    Args:
        accounts: float64 [N, fields of `Account`].
        which: int64 [K].
        table: float32 [rows, features], C-contiguous, so that a window is one run of memory.
        length: bars in a window.
        out: float32 [N, length x features].
    """
    every = accounts.view(ACCOUNT)
    width = table.shape[1]
    run = table.reshape(table.size)
    for i in which:
        first = (int(every[i, 0].row) - length + 1) * width
        copy_run(out[i], run[first : first + length * width])


@jit
def gather_observations(
    accounts: Matrix,
    which: Indices,
    bars: Matrix,
    rules: Matrix,
    table: Floats32,
    context: Floats32,
    length: int,
    windows: Floats32,
    numbers: Floats32,
    contexts: Floats32,
) -> None:
    """`gather_windows`, `gather_accounts` and the rows of `context`, in one pass over the accounts."""
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    width = table.shape[1]
    run = table.reshape(table.size)
    for i in which:
        account = every[i, 0]
        row = int(account.row)
        first = (row - length + 1) * width
        copy_run(windows[i], run[first : first + length * width])
        copy_run(contexts[i], context[row])
        account_features(account, quotes[row, 0], rule[int(account.market), 0], numbers[i])


@jit
def gather_rows(accounts: Matrix, which: Indices, table: Floats32, out: Floats32) -> None:
    """Copy the row of `table` (float32 [rows, D]) at each account's bar into `out` (float32 [N, D])."""
    every = accounts.view(ACCOUNT)
    for i in which:
        copy_run(out[i], table[int(every[i, 0].row)])


@jit
def gather_places(accounts: Matrix, which: Indices, offsets: Indices, market: Indices, bar: Indices) -> None:
    """Write where accounts `which` stand: `market` and the index of the `bar` in it, int64 [N] each."""
    every = accounts.view(ACCOUNT)
    for i in which:
        market[i] = int(every[i, 0].market)
        bar[i] = int(every[i, 0].row) - offsets[market[i]]
