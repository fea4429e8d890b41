"""The rules of a linear futures contract: small pure functions of numbers, compiled, and plain Python too.

Signs: `side` is +1 for a long and -1 for a short, `quantity` is in base units and positive unless called
signed, prices are quote currency per base unit, rates are fractions. A tier table is float64 [L, 4] with
the columns `FLOOR`, `MMR`, `CUM`, `MAX_LEVERAGE` and floors ascending from 0; further rows with an infinite
floor are ignored.

Sources: [B1] Binance FAQ "How to calculate liquidation price of USDT-margined futures contracts", [B2]
Binance FAQ "Leverage and margin of USDT-margined futures contracts", [B3] Binance FAQ "Introduction to
futures funding rates", [Y1] Bybit Help Center "Bankruptcy price (USDT contract)", [Y2] Bybit Help Center
"P&L calculations (USDT contract)", [Y3] Bybit Help Center "Average entry price".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.contract import MarginTier
from quantum_trader.envs.jit import jit

TierTable = NDArray[np.float64]

FLOOR, MMR, CUM, MAX_LEVERAGE = 0, 1, 2, 3

# Decimal steps such as 0.001 have no exact binary form: a quotient this close to a whole number is that
# number.
_WHOLE = 1e-9


@jit
def fee(quantity: float, price: float, rate: float) -> float:
    """Trading fee: notional x rate [B2]."""
    return quantity * price * rate


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

    (margin + cum - side Q entry) / (Q (mmr - side)), with the bracket of the notional AT that price. Brackets
    meet continuously, so exactly one holds its own solution: the first, from below, that does not overshoot.
    """
    price = 0.0
    for tier in range(tiers.shape[0]):
        numerator = margin + tiers[tier, CUM] - side * quantity * entry
        price = numerator / (quantity * (tiers[tier, MMR] - side))
        if tier + 1 == tiers.shape[0] or quantity * price < tiers[tier + 1, FLOOR]:
            break
    return price if price > 0.0 else 0.0


@jit
def leverage_cap(notional: float, tiers: TierTable) -> float:
    """Largest leverage a position of `notional` may have [B2]."""
    cap: float = tiers[tier_of(notional, tiers), MAX_LEVERAGE]
    return cap


@jit
def round_lot(quantity: float, step: float) -> float:
    """`quantity` >= 0 rounded down to a multiple of `step`; 0 leaves it as it is.

    A quotient within one part in 10^9 of a whole number counts as whole: 0.3 / 0.1 gives 3 lots, not 2.
    """
    if step <= 0.0:
        return quantity
    return _on_grid(_floor_guarded(quantity / step), step)


@jit
def round_tick(price: float, tick: float) -> float:
    """`price` rounded to the nearest multiple of `tick`; 0 leaves it as it is."""
    if tick <= 0.0:
        return price
    return _on_grid(math.floor(price / tick + 0.5), tick)


@jit
def _floor_guarded(quotient: float) -> float:
    nearest = math.floor(quotient + 0.5)
    if abs(quotient - nearest) <= _WHOLE * max(1.0, abs(quotient)):
        return float(nearest)
    return float(math.floor(quotient))


@jit
def _on_grid(count: float, step: float) -> float:
    """count x step; dividing by a whole 1 / step instead gives the decimal number nearest to it."""
    inverse = math.floor(1.0 / step + 0.5)
    if inverse >= 1.0 and abs(inverse * step - 1.0) <= _WHOLE:
        return count / inverse
    return count * step


def tier_table(tiers: tuple[MarginTier, ...], length: int | None = None) -> TierTable:
    """float64 [L, 4]: the brackets of a contract with their maintenance amounts, filled up to `length` rows.

    `cum[n] = floor[n] x (mmr[n] - mmr[n-1]) + cum[n-1]` makes the maintenance margin continuous [B2].
    """
    rows = [[tier.floor, tier.mmr, 0.0, tier.max_leverage] for tier in tiers]
    table = np.array(rows, dtype=np.float64)
    table[1:, CUM] = np.cumsum(table[1:, FLOOR] * np.diff(table[:, MMR]))
    further = np.repeat(table[-1:], max((length or 0) - len(table), 0), axis=0)
    further[:, FLOOR] = np.inf
    return np.concatenate([table, further])


def notional_cap(leverage: float, tiers: tuple[MarginTier, ...]) -> float:
    """Largest notional allowed at `leverage`: the cap of the highest bracket that allows it, or 0."""
    return max((tier.cap for tier in tiers if tier.max_leverage >= leverage), default=0.0)
