"""`FuturesContract`: the venue's rules for one instrument that cost or limit a trader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from quantum_trader.envs.errors import ConfigError

Session = Literal["24/7", "weekdays", "cme"]


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
    """Costs, margins and trading hours of one linear contract. All rates are fractions, not percent.

    Raises:
        ConfigError: numbers that no venue can mean, e.g. brackets with a hole between them.
    """

    name: str
    """What reports call it, e.g. "binance-btc"."""
    taker_fee: float = 0.0005
    """Fee on the notional of every fill; raising it makes every trade dearer."""
    commission: float = 0.0
    """Fixed fee of every fill per contract, quote currency, on top of `taker_fee`."""
    slippage: float = 0.0001
    """Adverse slippage plus half the spread, fraction of the price, paid on every fill."""
    liquidation_fee: float = 0.0125
    """Clearance fee on the notional liquidated."""
    contract_size: float = 1.0
    """Base units in one contract: the multiplier or face value."""
    tick_size: float = 0.0
    """Price increment; 0 leaves prices unrounded."""
    lot_size: float = 0.0
    """Quantity increment in base units, rounded toward zero; 0 leaves quantities unrounded."""
    min_notional: float = 0.0
    """Smallest order, quote currency; a smaller one is not placed."""
    tiers: tuple[MarginTier, ...] = (MarginTier(floor=0.0, cap=1e12, mmr=0.01, max_leverage=50.0),)
    """Maintenance-margin brackets, ascending and without holes."""
    tier_amounts: bool = True
    """Each rate applies to the part of the notional inside its bracket; False: the highest to all of it."""
    maintenance_fee: float = 0.0
    """Added to every maintenance rate: venues that keep the fee of closing back (OKX, Gate)."""
    maintenance_on: Literal["mark", "entry"] = "mark"
    """Price that the maintenance margin is taken on; "entry" fixes it when the position is opened (Bybit)."""
    reserve_closing_fee: bool = False
    """An order must also be able to pay the fee of closing at its bankruptcy price (Bybit)."""
    has_funding: bool = True
    """Whether funding payments exist for the instrument."""
    session: Session = "24/7"
    """Pauses that are no gaps in the data: none, weekends, or weekends and an hour a day."""
    expiry: str | None = None
    """Last moment of trading of a dated contract, ISO 8601, UTC unless it says otherwise."""

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(
                    f"Contract {self.name}: {name} must be 0 or more, found {getattr(self, name)!r}."
                )
        for name in _BELOW_ONE:
            if not getattr(self, name) < 1.0:
                raise ConfigError(
                    f"Contract {self.name}: {name} is a fraction below 1, found {getattr(self, name)!r}; "
                    "divide percents by 100."
                )
        if self.contract_size == 0.0:
            raise ConfigError(f"Contract {self.name}: contract_size must be above 0, found 0.")
        _check_tiers(self.name, self.tiers)
        if self.expiry is not None:
            _moment_ms(self.name, self.expiry)

    @property
    def tick_value(self) -> float:
        """What one tick is worth to the holder of one contract, quote currency."""
        return self.tick_size * self.contract_size

    @property
    def expiry_ms(self) -> int | None:
        """`expiry` in milliseconds since the epoch, None for a perpetual."""
        return None if self.expiry is None else _moment_ms(self.name, self.expiry)


_BELOW_ONE = ("taker_fee", "slippage", "liquidation_fee", "maintenance_fee")
_NOT_NEGATIVE = (*_BELOW_ONE, "commission", "contract_size", "tick_size", "lot_size", "min_notional")


def _check_tiers(name: str, tiers: Sequence[MarginTier]) -> None:
    if not tiers:
        raise ConfigError(f"Contract {name}: expected at least one margin tier, found none.")
    floor = 0.0
    for number, tier in enumerate(tiers, start=1):
        where = f"Contract {name}: margin tier {number}"
        if tier.floor != floor or not tier.cap > tier.floor:
            raise ConfigError(
                f"{where} must start at {floor:g}, where the one below ends, and end above it; "
                f"found {tier.floor:g} to {tier.cap:g}."
            )
        if not 0.0 <= tier.mmr < 1.0 or not tier.max_leverage >= 1.0:
            raise ConfigError(
                f"{where} needs a rate from 0 to 1 and a leverage of 1 or more; "
                f"found {tier.mmr:g} and {tier.max_leverage:g}."
            )
        if number > 1 and tier.mmr < tiers[number - 2].mmr:
            raise ConfigError(f"{where} has a lower rate, {tier.mmr:g}, than the tier below it; sort them.")
        floor = tier.cap


def _moment_ms(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"Contract {name}: expected an ISO 8601 expiry such as 2025-06-20T13:30, found {text!r}."
        ) from error
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
