"""One account, one bar: the order of events that every environment and backtest shares.

The decision was taken at the close of bar t; this is what bar t+1 does with it:

1. funding, if a settlement falls on the bar's open: the position carried in pays, since an order that was
   decided at that moment fills after it;
2. at the open, to a position carried in: liquidation if the open is past its liquidation price, else
   closing after `max_holding_bars`, else the stop or target if the open is past it. Any of these cancels
   the order due now;
3. otherwise the order fills at the open, with adverse slippage and the fee;
4. inside the bar: liquidation on the mark's range, the stop-loss, the take-profit. Where several could have
   happened the worst is assumed: of liquidation and stop the one nearer to the price, and both before the
   target;
5. mark to the close, reward, termination, truncation.
"""

from __future__ import annotations

import math

from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import (
    BY_END,
    BY_MAX_HOLDING,
    BY_ORDER,
    BY_REVERSE,
    BY_STOP_LOSS,
    BY_TAKE_PROFIT,
    DIFFERENTIAL_SHARPE,
    DRAWDOWN_PENALISED,
    MODE_CONTINUOUS,
    MODE_ORDER,
    PROFIT,
    Account,
    Quote,
    Rules,
    TradeLog,
)
from quantum_trader.envs.position import enlarge, liquidate, reduce, settle_funding
from quantum_trader.envs.rewards import differential_sharpe, drawdown_penalised, log_equity, profit
from quantum_trader.envs.rules import round_lot, unrealised_pnl


@jit
def account_step(
    account: Account,
    action: float,
    last: Quote,
    bar: Quote,
    rules: Rules,
    log: TradeLog | None,
    close_out: bool,
) -> None:
    """Advance one account by one bar.

    Args:
        account: changed in place; must not be finished.
        action: the number of the discrete action, or the share of the leverage in [-1, 1].
        last: the bar at whose close the decision was taken.
        bar: the bar after it.
        rules: costs, limits and configuration.
        log: takes the trades and fills of this bar; None keeps none, which is a little faster.
        close_out: whether what is still open is closed at this bar's close.
    """
    if log is not None:
        log.count = 0.0
        log.fills = 0.0
    before = account.equity
    intent, unit = _intent(action, rules), 0.0
    if rules.delay > 0.0:
        intent, unit = _queue(account, intent, _one_unit(account, last, rules), rules.delay)
    account.row += 1.0
    account.step += 1.0
    if account.quantity != 0.0 and bar.funding_rate != 0.0:
        settle_funding(account, bar.mark_open, bar.funding_rate, rules)
    if account.quantity == 0.0 or not _leave_at_open(account, bar, rules, log):
        _fill(account, intent, unit, last, bar, rules, log)
    if account.quantity != 0.0:
        _leave_inside_bar(account, bar, rules, log)
    if close_out and account.quantity != 0.0:
        reduce(account, abs(account.quantity), bar.close, BY_END, rules, log)
    _mark(account, before, bar, rules)


@jit
def _intent(action: float, rules: Rules) -> float:
    """An order in units (mode "order") or a wanted position in units (the other modes)."""
    if rules.mode == MODE_ORDER:
        return 1.0 if action == 1.0 else (-1.0 if action == 2.0 else 0.0)
    if rules.mode == MODE_CONTINUOUS:
        return action
    return action - rules.max_units


@jit
def _one_unit(account: Account, last: Quote, rules: Rules) -> float:
    """Base units in one unit: its share of leverage x equity, at the close the decision was taken on."""
    return account.leverage * account.equity / (rules.max_units * last.close)


@jit
def _queue(account: Account, intent: float, unit: float, delay: float) -> tuple[float, float]:
    """Put a decision at the end of the queue and take the one due now; NaN stands for no decision yet."""
    due_intent, due_unit = account.intent_1, account.unit_1
    if delay == 1.0:
        account.intent_1, account.unit_1 = intent, unit
    else:
        account.intent_1, account.unit_1 = account.intent_2, account.unit_2
        account.intent_2, account.unit_2 = intent, unit
    return due_intent, due_unit


@jit
def _leave_at_open(account: Account, bar: Quote, rules: Rules, log: TradeLog | None) -> bool:
    """Whether a position carried into the bar is taken away by its open."""
    side = 1.0 if account.quantity > 0.0 else -1.0
    price = bar.open
    if side * (bar.mark_open - account.liquidation) <= 0.0:
        liquidate(account, bar.mark_open, rules, log)
        return True
    if rules.max_holding > 0.0 and account.row - account.entry_row >= rules.max_holding:
        reduce(account, abs(account.quantity), price, BY_MAX_HOLDING, rules, log)
        return True
    if side * (price - account.stop) <= 0.0:
        reduce(account, abs(account.quantity), price, BY_STOP_LOSS, rules, log)
        return True
    if side * (price - account.target) >= 0.0:
        reduce(account, abs(account.quantity), price, BY_TAKE_PROFIT, rules, log)
        return True
    return False


@jit
def _fill(
    account: Account,
    intent: float,
    unit: float,
    last: Quote,
    bar: Quote,
    rules: Rules,
    log: TradeLog | None,
) -> None:
    """Trade at the open from the units held to the units wanted; no change of units, no trade."""
    units = account.units
    if math.isnan(intent):
        return
    wanted = units + intent if rules.mode == MODE_ORDER else intent
    wanted = min(max(wanted, -rules.max_units), rules.max_units)
    if wanted == units:
        return
    if rules.delay == 0.0:
        unit = _one_unit(account, last, rules)
    price = bar.open
    quantity = _wanted_quantity(account.quantity, units, wanted, unit, rules.mode)
    if account.quantity != 0.0 and quantity * account.quantity <= 0.0:
        reason = BY_ORDER if quantity == 0.0 else BY_REVERSE
        reduce(account, abs(account.quantity), price, reason, rules, log)
    change = quantity - account.quantity
    if change == 0.0:
        return
    if change * account.quantity < 0.0:
        closed = round_lot(abs(change), rules.lot)
        if closed > 0.0:
            reduce(account, closed, price, BY_ORDER, rules, log)
            account.units = wanted
    elif enlarge(account, change, price, last.atr, rules, log):
        account.units = wanted


@jit
def _wanted_quantity(quantity: float, units: float, wanted: float, unit: float, mode: float) -> float:
    """Signed quantity after the order: units already held keep their size, new ones are sized now.

    A continuous action states the whole position instead, so a changed action resizes all of it.
    """
    if mode == MODE_CONTINUOUS or units * wanted <= 0.0:
        return wanted * unit
    if abs(wanted) < abs(units):
        return quantity * wanted / units
    return quantity + (wanted - units) * unit


@jit
def _leave_inside_bar(account: Account, bar: Quote, rules: Rules, log: TradeLog | None) -> None:
    """Liquidation, stop and target between the open and the close."""
    long = account.quantity > 0.0
    side = 1.0 if long else -1.0
    price, mark = bar.open, bar.mark_open
    liquidation, stop, target = account.liquidation, account.stop, account.target
    if side * (mark - liquidation) <= 0.0:  # the entry's own slippage used the margin up
        liquidate(account, mark, rules, log)
        return
    worst_mark = bar.mark_low if long else bar.mark_high
    worst = bar.low if long else bar.high
    best = bar.high if long else bar.low
    stopped = side * (worst - stop) <= 0.0
    if side * (worst_mark - liquidation) <= 0.0 and (not stopped or side * (liquidation - stop) >= 0.0):
        liquidate(account, liquidation, rules, log)
    elif stopped:
        reached = stop if side * (price - stop) > 0.0 else price
        reduce(account, abs(account.quantity), reached, BY_STOP_LOSS, rules, log)
    elif side * (best - target) >= 0.0:
        reached = target if side * (price - target) < 0.0 else price
        reduce(account, abs(account.quantity), reached, BY_TAKE_PROFIT, rules, log)


@jit
def _mark(account: Account, before: float, bar: Quote, rules: Rules) -> None:
    """Equity at the close, the reward, and whether the episode is over."""
    equity = account.balance
    if account.quantity != 0.0:
        equity += unrealised_pnl(account.quantity, account.entry, bar.mark_close)
    account.equity = equity
    account.reward = _reward(account, before, equity, rules)
    account.episode_return += account.reward
    account.peak = max(account.peak, equity)
    terminated = equity <= rules.floor
    timed_out = account.length > 0.0 and account.step >= account.length
    account.terminated = 1.0 if terminated else 0.0
    account.truncated = 1.0 if not terminated and (timed_out or bar.open_ended == 0.0) else 0.0


@jit
def _reward(account: Account, before: float, after: float, rules: Rules) -> float:
    """The configured reward; the peak is still the one before this step."""
    kind = rules.reward
    if kind == PROFIT:
        return profit(before, after)
    if kind == DIFFERENTIAL_SHARPE:
        simple = after / before - 1.0
        reward = differential_sharpe(simple, account.mean_return, account.mean_square)
        account.mean_return += rules.reward_parameter * (simple - account.mean_return)
        account.mean_square += rules.reward_parameter * (simple * simple - account.mean_square)
        return reward
    growth = log_equity(before, after, rules.initial_balance)
    if kind == DRAWDOWN_PENALISED:
        peak = max(account.peak, after)
        drawdown_before = 1.0 - before / account.peak
        return drawdown_penalised(growth, drawdown_before, 1.0 - after / peak, rules.reward_parameter)
    return growth
