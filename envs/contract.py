"""`FuturesContract`: the venue's rules for one instrument that cost or limit a trader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MarginTier:
    """One bracket of a venue's maintenance-margin table.

    The maintenance amount of a tier follows from the tiers below it:
    `cum[n] = floor[n] * (mmr[n] - mmr[n-1]) + cum[n-1]`.
    """

    floor: float
    """Smallest notional of the bracket, quote currency."""
    cap: float
    """Largest notional of the bracket, quote currency."""
    mmr: float
    """Maintenance margin rate, fraction of notional."""
    max_leverage: float
    """Largest leverage a position of this notional may have."""


@dataclass(frozen=True, kw_only=True)
class FuturesContract:
    """Costs, margins and trading hours of one linear contract. All rates are fractions, not percent."""

    name: str
    """What reports call it, e.g. "binance-btc"."""
    taker_fee: float = 0.0005
    """Fee on the notional of every fill; raising it makes every trade dearer."""
    slippage: float = 0.0001
    """Adverse slippage plus half the spread, fraction of the price, paid on every fill."""
    liquidation_fee: float = 0.0125
    """Clearance fee on the notional liquidated."""
    tick_size: float = 0.0
    """Price increment; 0 leaves prices unrounded."""
    lot_size: float = 0.0
    """Quantity increment in base units, rounded toward zero; 0 leaves quantities unrounded."""
    min_notional: float = 0.0
    """Smallest order, quote currency; a smaller one is not placed."""
    tiers: tuple[MarginTier, ...] = (MarginTier(floor=0.0, cap=1e12, mmr=0.01, max_leverage=50.0),)
    """Maintenance-margin brackets, ascending and without holes."""
    has_funding: bool = True
    """Whether funding payments exist for the instrument."""
    session: Literal["24/7", "weekdays"] = "24/7"
    """A "weekdays" market pauses over weekends: such a pause is no gap in its data."""
