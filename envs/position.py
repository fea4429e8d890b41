"""What can happen to the position of one account: it is opened or enlarged, reduced, liquidated, funded.

Each function changes one account (`quantum_trader.envs.layout.Account`). Whenever it is flat,

    balance = initial + gross_pnl - fees - slippage - funding - liquidation_costs

where gross_pnl counts realised profit at prices before slippage; what an open position's entry lost to
slippage is still part of its unrealised profit then. Margin is isolated: a position can lose
its own margin and nothing else.
"""

from __future__ import annotations

import math

from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import BY_LIQUIDATION, BY_OPEN, Account, Rules, TradeLog
from quantum_trader.envs.rules import (
    average_entry,
    bankruptcy_price,
    fee,
    fill_price,
    funding_payment,
    initial_margin,
    liquidation_price,
    liquidation_price_on_entry,
    order_cost,
    round_lot,
    unrealised_pnl,
)


@jit
def enlarge(
    account: Account, wanted: float, price: float, atr: float, rules: Rules, log: TradeLog | None
) -> bool:
    """Buy or sell `wanted` (signed) more at the open `price`; False if the venue would refuse the order.

    The order is cut to what the free balance can pay (`quantum_trader.envs.rules.order_cost`) and to the
    notional that the venue allows at this leverage, then rounded down to the lot. Below the minimum notional
    it is refused. Unrealised profit pays for nothing: it belongs to the isolated margin until it is realised.
    """
    side = 1.0 if wanted > 0.0 else -1.0
    fill = fill_price(price, side, rules.slippage * account.cost, rules.tick)
    held = abs(account.quantity)
    free = account.balance - account.margin
    # A leverage below 1 makes positions smaller, but no venue asks for more margin than the notional.
    leverage = max(account.leverage, 1.0)
    rate, fixed = rules.fee * account.cost, rules.commission * account.cost
    # Every part of the cost is proportional to the quantity.
    unit_cost = order_cost(side, 1.0, fill, leverage, rate, fixed, rules.reserve == 1.0)
    quantity = min(abs(wanted), max(free, 0.0) / unit_cost)
    if (held + quantity) * fill > account.notional_cap:
        quantity = max(account.notional_cap / fill - held, 0.0)
    quantity = round_lot(quantity, rules.lot)
    if quantity <= 0.0 or quantity * fill < rules.min_notional:
        return False
    if held == 0.0:
        account.entry_row = account.row
        _place_exits(account, side, fill, atr, rules)
    paid = fee(quantity, fill, rate, fixed)
    slipped = side * quantity * (fill - price)
    account.entry = average_entry(held, account.entry, quantity, fill)
    account.quantity = side * (held + quantity)
    account.balance -= paid
    account.margin = min(account.margin + initial_margin(quantity, fill, leverage), account.balance)
    account.fees += paid
    account.slippage += slipped
    account.fills += 1.0
    account.position_fees += paid
    account.position_slippage += slipped
    place_liquidation(account, rules)
    if log is not None:
        _write_fill(account, side, quantity, fill, paid, slipped, 0.0, BY_OPEN, log)
    return True


@jit
def _place_exits(account: Account, side: float, fill: float, atr: float, rules: Rules) -> None:
    """Stop and target at multiples of the ATR known at the fill; both stay where they are put."""
    known = atr > 0.0
    account.stop = -side * math.inf
    account.target = side * math.inf
    if known and rules.stop_loss > 0.0:
        account.stop = fill - side * rules.stop_loss * atr
    if known and rules.take_profit > 0.0:
        account.target = fill + side * rules.take_profit * atr


@jit
def place_liquidation(account: Account, rules: Rules) -> None:
    """Recompute the liquidation price after the size, the entry or the margin changed."""
    side = 1.0 if account.quantity > 0.0 else -1.0
    quantity = abs(account.quantity)
    if rules.on_entry == 1.0:
        account.liquidation = liquidation_price_on_entry(
            side, quantity, account.entry, account.margin, rules.tiers
        )
    else:
        account.liquidation = liquidation_price(side, quantity, account.entry, account.margin, rules.tiers)


@jit
def reduce(
    account: Account, quantity: float, price: float, reason: int, rules: Rules, log: TradeLog | None
) -> None:
    """Close `quantity` of the position by a market order at `price`, releasing its share of the margin.

    The loss is bounded by the margin (no fill beyond bankruptcy) and the fee by what the account has left.
    """
    side = 1.0 if account.quantity > 0.0 else -1.0
    held = abs(account.quantity)
    share = quantity / held
    fill = fill_price(price, -side, rules.slippage * account.cost, rules.tick)
    if side * held * (fill - account.entry) < -account.margin:
        fill = bankruptcy_price(side, held, account.entry, account.margin)
    pnl = unrealised_pnl(side * quantity, account.entry, fill)
    left = account.balance - account.margin * (1.0 - share) + pnl
    asked = fee(quantity, fill, rules.fee * account.cost, rules.commission * account.cost)
    paid = max(min(asked, left), 0.0)
    slipped = side * quantity * (price - fill)
    account.balance = max(account.balance + pnl - paid, 0.0)
    account.slippage += slipped
    _book(account, share, fill, pnl, paid, slipped, 0.0, reason, log)
    if quantity < held:
        place_liquidation(account, rules)


@jit
def liquidate(account: Account, price: float, rules: Rules, log: TradeLog | None) -> None:
    """Take the whole position at `price` and its whole isolated margin with it.

    The trader loses the margin, no more and no less: a price beyond bankruptcy is the venue's loss, and what
    is left of the margin at a better one pays the clearance fee, the rest going to the insurance fund.
    """
    side = 1.0 if account.quantity > 0.0 else -1.0
    quantity = abs(account.quantity)
    margin = account.margin
    bankrupt = bankruptcy_price(side, quantity, account.entry, margin)
    fill = bankrupt if side * (price - bankrupt) < 0.0 else price
    pnl = unrealised_pnl(account.quantity, account.entry, fill)
    left = max(margin + pnl, 0.0)
    clearance = min(fee(quantity, fill, rules.liquidation_fee), left)
    account.balance = max(account.balance - margin, 0.0)
    account.liquidation_costs += left - clearance
    account.liquidations += 1.0
    _book(account, 1.0, fill, pnl, clearance, 0.0, left - clearance, BY_LIQUIDATION, log)


@jit
def settle_funding(account: Account, mark: float, rate: float, rules: Rules) -> None:
    """Pay or receive funding out of or into the isolated margin, which moves the liquidation price.

    A position can pay what it is worth, its unrealised profit included, and no more.
    """
    worth = max(account.margin + unrealised_pnl(account.quantity, account.entry, mark), 0.0)
    payment = min(funding_payment(account.quantity, mark, rate), worth)
    account.margin -= payment
    account.balance -= payment
    account.funding += payment
    account.position_funding += payment
    place_liquidation(account, rules)


@jit
def _book(
    account: Account,
    share: float,
    fill: float,
    pnl: float,
    paid: float,
    slipped: float,
    forfeited: float,
    reason: int,
    log: TradeLog | None,
) -> None:
    """Write the closed `share` of the position down as a trade and take it off the account."""
    quantity = account.quantity * share
    opening_fees = account.position_fees * share
    opening_slippage = account.position_slippage * share
    funding = account.position_funding * share
    gross = pnl + slipped + opening_slippage
    net = pnl - paid - opening_fees - funding - forfeited
    if log is not None:
        _write_trade(
            account,
            share,
            fill,
            gross,
            net,
            paid + opening_fees,
            slipped + opening_slippage,
            funding,
            forfeited,
            reason,
            log,
        )
    account.trades += 1.0
    account.fills += 1.0
    account.gross_pnl += gross
    account.fees += paid
    if share == 1.0:
        _flatten(account)
    else:
        account.quantity -= quantity
        account.margin -= account.margin * share
        account.position_fees -= opening_fees
        account.position_slippage -= opening_slippage
        account.position_funding -= funding
    if log is not None:
        side = -1.0 if quantity > 0.0 else 1.0
        _write_fill(account, side, abs(quantity), fill, paid, slipped, pnl, reason, log)


@jit
def _write_trade(
    account: Account,
    share: float,
    fill: float,
    gross: float,
    net: float,
    fees: float,
    slippage: float,
    funding: float,
    forfeited: float,
    reason: int,
    log: TradeLog,
) -> None:
    """Log the closed `share` of the position, which is still on the account."""
    quantity = account.quantity * share
    trade = log.first if log.count == 0.0 else log.second
    log.count += 1.0
    trade.entry_row = account.entry_row
    trade.exit_row = account.row
    trade.side = 1.0 if quantity > 0.0 else -1.0
    trade.quantity = abs(quantity)
    trade.entry_price = account.entry
    trade.exit_price = fill
    trade.gross_pnl = gross
    trade.fees = fees
    trade.slippage = slippage
    trade.funding = funding
    trade.liquidation_cost = forfeited
    trade.net_pnl = net
    trade.reason = reason


@jit
def _write_fill(
    account: Account,
    side: float,
    quantity: float,
    price: float,
    paid: float,
    slipped: float,
    pnl: float,
    reason: int,
    log: TradeLog,
) -> None:
    """Log an execution that has just changed the position."""
    fill = log.fill_1 if log.fills == 0.0 else (log.fill_2 if log.fills == 1.0 else log.fill_3)
    log.fills += 1.0
    fill.row = account.row
    fill.side = side
    fill.quantity = quantity
    fill.price = price
    fill.fee = paid
    fill.slippage = slipped
    fill.pnl = pnl
    fill.position = account.quantity
    fill.reason = reason


@jit
def _flatten(account: Account) -> None:
    account.quantity = 0.0
    account.units = 0.0
    account.entry = 0.0
    account.margin = 0.0
    account.liquidation = 0.0
    account.entry_row = -1.0
    account.position_fees = 0.0
    account.position_slippage = 0.0
    account.position_funding = 0.0
