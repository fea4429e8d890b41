"""The rules of a linear futures contract: small pure functions of numbers, compiled, and plain Python too.

Signs: `side` is +1 for a long and -1 for a short, `quantity` is in base units and positive unless called
signed, prices are quote currency per base unit, rates are fractions. A tier table is float64 [L, 5] with
the columns `FLOOR`, `MMR`, `CUM`, `MAX_LEVERAGE`, `CAP` and floors ascending from 0; further rows with an
infinite floor are ignored.

Sources: [B1] Binance FAQ "How to calculate liquidation price of USDT-margined futures contracts", [B2]
Binance FAQ "Leverage and margin of USDT-margined futures contracts", [B3] Binance FAQ "Introduction to
futures funding rates", [Y1] Bybit Help Center "Bankruptcy price (USDT contract)", [Y2] Bybit Help Center
"P&L calculations (USDT contract)", [Y3] Bybit Help Center "Average entry price",
[Y4] Bybit Help Center "Order cost (USDT contract)", [Y5] Bybit Help Center "Liquidation price calculation
under isolated mode (USDT contract)", [O1] OKX Help Center "Margin calculation of perpetual swaps in isolated
margin mode".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.jit import jit

TierTable = NDArray[np.float64]

FLOOR, MMR, CUM, MAX_LEVERAGE, CAP = range(5)

# Decimal steps such as 0.001 have no exact binary form: a count this close to a whole number is that number.
_WHOLE = 1e-9


@jit
def fee(quantity: float, price: float, rate: float, fixed: float = 0.0) -> float:
    """Trading fee: notional x rate [B2] + quantity x `fixed`, a commission per base unit."""
    return quantity * (price * rate + fixed)


@jit
def fill_price(price: float, side: float, slippage: float, tick: float) -> float:
    """Price of a market order that buys (`side` +1) or sells (-1) at `price`: worse by `slippage`.

    Rounding to the nearest tick is unbiased, but no fill is better than `price` itself.
    """
    fill = round_tick(price * (1.0 + side * slippage), tick)
    return fill if side * (fill - price) >= 0.0 else price


@jit
def funding_payment(signed_quantity: float, mark: float, rate: float) -> float:
    """What the holder pays at a settlement, negative when received: signed quantity x mark x rate [B3]."""
    return signed_quantity * mark * rate


@jit
def unrealised_pnl(signed_quantity: float, entry: float, price: float) -> float:
    """Profit of an open position at `price`: signed quantity x (price - entry) [Y2]."""
    return signed_quantity * (price - entry)


@jit
def average_entry(quantity: float, entry: float, added: float, price: float) -> float:
    """Entry price after `added` more units at `price`: (Q1 P1 + Q2 P2) / (Q1 + Q2); closing keeps it [Y3]."""
    if quantity == 0.0:
        return price
    return (quantity * entry + added * price) / (quantity + added)


@jit
def initial_margin(quantity: float, price: float, leverage: float) -> float:
    """Margin a position starts with: notional / leverage [B2]."""
    return quantity * price / leverage


@jit
def order_cost(
    side: float, quantity: float, price: float, leverage: float, rate: float, fixed: float, reserve: bool
) -> float:
    """Free balance that opening takes: initial margin and fee [B2], and with `reserve` the closing fee [Y4].

    The reserved fee is that of closing at the bankruptcy price, price x (1 - side / leverage).
    """
    cost = initial_margin(quantity, price, leverage) + fee(quantity, price, rate, fixed)
    if reserve:
        cost += fee(quantity, price * (1.0 - side / leverage), rate, fixed)
    return cost


@jit
def bankruptcy_price(side: float, quantity: float, entry: float, margin: float) -> float:
    """Price at which the loss equals the margin: entry - side x margin / quantity [Y1].

    With margin = notional / leverage this is entry x (1 - side / leverage).
    """
    return entry - side * margin / quantity


@jit
def tier_of(notional: float, tiers: TierTable) -> int:
    """Row of the bracket that `notional` falls into [B2]."""
    tier = 0
    while tier + 1 < tiers.shape[0] and notional >= tiers[tier + 1, FLOOR]:
        tier += 1
    return tier


@jit
def maintenance_margin(notional: float, tiers: TierTable) -> float:
    """Margin below which a position is liquidated: notional x rate - maintenance amount, by bracket [B2]."""
    tier = tier_of(notional, tiers)
    margin: float = notional * tiers[tier, MMR] - tiers[tier, CUM]
    return margin


@jit
def liquidation_price(side: float, quantity: float, entry: float, margin: float, tiers: TierTable) -> float:
    """Mark price at which margin + unrealised pnl = maintenance margin [B1]; 0 where none is above zero.

    (margin + cum - side Q entry) / (Q (mmr - side)), with the bracket of the notional AT that price: the
    search starts in the bracket of the entry and goes down or up from there. Where brackets do not meet
    continuously (rates on the whole notional [O1]), a rising price that reaches the next bracket may be past
    that one's liquidation price already: then it is the price at which the bracket starts.
    """
    last = tiers.shape[0] - 1
    tier = tier_of(quantity * entry, tiers)
    price = _price_in_tier(side, quantity, entry, margin, tiers, tier)
    # In one direction only, so that rounding at an edge cannot send the search back and forth.
    if quantity * price < tiers[tier, FLOOR]:
        while tier > 0 and quantity * price < tiers[tier, FLOOR]:
            tier -= 1
            price = _price_in_tier(side, quantity, entry, margin, tiers, tier)
    else:
        while tier < last and quantity * price >= tiers[tier + 1, FLOOR]:
            tier += 1
            price = _price_in_tier(side, quantity, entry, margin, tiers, tier)
            if quantity * price < tiers[tier, FLOOR]:
                price = tiers[tier, FLOOR] / quantity
                break
    return price if price > 0.0 else 0.0


@jit
def _price_in_tier(
    side: float, quantity: float, entry: float, margin: float, tiers: TierTable, tier: int
) -> float:
    price: float = (margin + tiers[tier, CUM] - side * quantity * entry) / (
        quantity * (tiers[tier, MMR] - side)
    )
    return price


@jit
def liquidation_price_on_entry(
    side: float, quantity: float, entry: float, margin: float, tiers: TierTable
) -> float:
    """Mark price at which margin + unrealised pnl = the maintenance margin of the ENTRY value [Y5].

    entry - side x (margin - maintenance margin) / quantity; 0 where none is above zero. With margin =
    notional / leverage and one bracket this is entry x (1 - side / leverage + side x mmr).
    """
    price = entry - side * (margin - maintenance_margin(quantity * entry, tiers)) / quantity
    return price if price > 0.0 else 0.0


@jit
def notional_cap(leverage: float, tiers: TierTable) -> float:
    """Largest notional allowed at `leverage`: the cap of the highest bracket that allows it [B2], or 0."""
    cap = 0.0
    for tier in range(tiers.shape[0]):
        if tiers[tier, MAX_LEVERAGE] >= leverage:
            cap = max(cap, tiers[tier, CAP])
    return cap


@jit
def round_lot(quantity: float, step: float) -> float:
    """`quantity` >= 0 rounded down to a multiple of `step`; 0 leaves it as it is.

    A count within one part in 10^9 of a whole number counts as whole: 0.3 in lots of 0.1 is 3 lots, not 2.
    """
    if step <= 0.0:
        return quantity
    lots_in_one = _steps_in_one(step)
    count = quantity * lots_in_one
    nearest = np.floor(count + 0.5)
    whole = abs(count - nearest) <= _WHOLE * max(1.0, count)
    lots = nearest if whole else np.floor(count)
    return float(lots / lots_in_one)


@jit
def round_tick(price: float, tick: float) -> float:
    """`price` rounded to the nearest multiple of `tick`; 0 leaves it as it is."""
    if tick <= 0.0:
        return price
    ticks_in_one = _steps_in_one(tick)
    return float(np.floor(price * ticks_in_one + 0.5) / ticks_in_one)


@jit
def _steps_in_one(step: float) -> float:
    """1 / step, made whole where it is meant to be.

    0.1 has no exact binary form, but 10 has: dividing by it gives the decimal number nearest to a multiple.
    """
    inverse = 1.0 / step
    nearest = np.floor(inverse + 0.5)
    whole = nearest >= 1.0 and abs(nearest * step - 1.0) <= _WHOLE
    return float(nearest if whole else inverse)


def tier_table(contract: FuturesContract, length: int | None = None) -> TierTable:
    """float64 [L, 5]: the brackets of a contract with their maintenance amounts, filled up to `length` rows.

    `cum[n] = floor[n] x (mmr[n] - mmr[n-1]) + cum[n-1]` makes the maintenance margin continuous [B2]; it is
    0 without `tier_amounts`. Every rate includes `maintenance_fee`.
    """
    tiers = contract.tiers
    fee = contract.maintenance_fee
    rows = [[tier.floor, tier.mmr + fee, 0.0, tier.max_leverage, tier.cap] for tier in tiers]
    table = np.array(rows, dtype=np.float64)
    if contract.tier_amounts:
        table[1:, CUM] = np.cumsum(table[1:, FLOOR] * np.diff([tier.mmr for tier in tiers]))
    further = np.repeat(table[-1:], max((length or 0) - len(table), 0), axis=0)
    further[:, FLOOR] = np.inf
    return np.concatenate([table, further])
