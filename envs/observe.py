"""What an account looks like to an agent, and the compiled gathering of windows and table rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.copying import copy_run
from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import (
    ACCOUNT,
    MODE_ORDER,
    QUOTE,
    RULES,
    SEEN,
    Account,
    Matrix,
    Quote,
    Rules,
    Seen,
)
from quantum_trader.envs.rules import maintenance_margin, unrealised_pnl

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

ACCOUNT_NAMES: tuple[str, ...] = tuple(SEEN.names or ())
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
def account_features(account: Account, bar: Quote, rules: Rules, seen: Seen) -> None:
    """Write what an agent is shown of one account."""
    equity = account.equity
    seen.time_to_funding = bar.to_funding
    seen.drawdown = 1.0 - equity / account.peak
    seen.pending = _clip(pending_units(account, rules) / rules.max_units, -2.0, 2.0)
    quantity = account.quantity
    if quantity == 0.0 or equity <= 0.0:
        seen.position = seen.unrealised_pnl = seen.exposure = seen.margin_ratio = seen.bars_in_position = 0.0
        seen.liquidation_distance = seen.stop_distance = seen.target_distance = 1.0
        return
    side = 1.0 if quantity > 0.0 else -1.0
    price = bar.mark_close
    pnl = unrealised_pnl(quantity, account.entry, price)
    held = account.row - account.entry_row + 1.0
    at = account.entry if rules.on_entry == 1.0 else price
    needed = maintenance_margin(abs(quantity) * at, rules.tiers)
    backing = account.margin + pnl
    seen.position = account.units / rules.max_units
    seen.unrealised_pnl = _clip(pnl / equity, -1.0, 1.0)
    seen.exposure = _clip(quantity * price / (account.leverage * equity), -2.0, 2.0)
    seen.margin_ratio = _clip(needed / backing, 0.0, 1.0) if backing > 0.0 else 1.0
    seen.liquidation_distance = _clip(side * (price - account.liquidation) / price, 0.0, 1.0)
    seen.bars_in_position = held / (held + _HALF_LIFE_BARS)
    seen.stop_distance = _distance(side * (price - account.stop), bar.atr)
    seen.target_distance = _distance(side * (account.target - price), bar.atr)


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


View = tuple[Floats32, Floats32, int, Floats32, Floats32, Floats32]
"""What N accounts see: table, context, length, windows, numbers, contexts.

`table` is float32 [rows, F], C-contiguous, so that its last `length` rows at a bar are one run of memory;
`context` is float32 [rows, C]. They are copied to `windows`, float32 [N, length x F], and `contexts`, float32
[N, C], and the account numbers go to `numbers`, float32 [N, ACCOUNT_SIZE]. A target without columns is left
out.
"""


@jit
def gather_observations(accounts: Matrix, which: Indices, bars: Matrix, rules: Matrix, view: View) -> None:
    """Write what accounts `which` see into their rows of the targets of `view`.

    Args:
        accounts: float64 [N, fields of `Account`].
        which: int64 [K].
        bars: float64 [rows, fields of `Quote`].
        rules: float64 [markets, fields of `Rules`].
        view: what is read and where it is written, see `View`.
    """
    table, context, length, windows, numbers, contexts = view
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    seen = numbers.view(SEEN)
    for i in which:
        account = every[i, 0]
        row = int(account.row)
        if windows.shape[1] > 0:
            width = table.shape[1]
            copy_run(windows, i * length * width, table, (row - length + 1) * width, length * width)
        if contexts.shape[1] > 0:
            copy_run(contexts, i * context.shape[1], context, row * context.shape[1], context.shape[1])
        if numbers.shape[1] > 0:
            account_features(account, quotes[row, 0], rule[int(account.market), 0], seen[i, 0])


@jit
def gather_accounts(accounts: Matrix, which: Indices, bars: Matrix, rules: Matrix, out: Floats32) -> None:
    """Write the account numbers of accounts `which` into their rows of `out`, float32 [N, ACCOUNT_SIZE]."""
    every, quotes, rule = accounts.view(ACCOUNT), bars.view(QUOTE), rules.view(RULES)
    seen = out.view(SEEN)
    for i in which:
        account = every[i, 0]
        account_features(account, quotes[int(account.row), 0], rule[int(account.market), 0], seen[i, 0])


@jit
def gather_places(accounts: Matrix, which: Indices, offsets: Indices, market: Indices, bar: Indices) -> None:
    """Write where accounts `which` stand: `market` and the index of the `bar` in it, int64 [N] each."""
    every = accounts.view(ACCOUNT)
    for i in which:
        market[i] = int(every[i, 0].market)
        bar[i] = int(every[i, 0].row) - offsets[market[i]]
