"""Ready-made contracts: fees, slippage and margin brackets of well-known instruments.

Venues change their tables; these are round, representative figures for a regular account (no rebates), meant
for research. Before trading, build a `FuturesContract` from the venue's own answer.

| preset | taker fee | slippage + half spread | leverage |
|---|---|---|---|
| binance-btc | 5 bp | 1 bp | up to 125 |
| binance-eth | 5 bp | 1 bp | up to 100 |
| binance-alt | 5 bp | 3 bp | up to 50 |
| fx-eurusd | 0.2 bp | 0.3 bp | up to 30 |

The binance-* brackets follow the shape of that venue's USDT-margined tables, those for small coins on the
careful side because their books are thin. fx-eurusd: the commission of a commission-based broker; 0.3 bp is
half of a 0.3 pip spread plus slippage of the same order; 30:1 and close-out at half the initial margin are
ESMA's rules for retail clients in major pairs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.errors import ConfigError


def _tiers(*rows: tuple[float, float, float]) -> tuple[MarginTier, ...]:
    """Brackets from (cap, maintenance rate, largest leverage), each starting where the one before ends."""
    floors = (0.0, *(cap for cap, _, _ in rows[:-1]))
    return tuple(
        MarginTier(floor=floor, cap=cap, mmr=mmr, max_leverage=leverage)
        for floor, (cap, mmr, leverage) in zip(floors, rows, strict=True)
    )


_BTC_TIERS = _tiers(
    (5e4, 0.004, 125.0),
    (6e5, 0.005, 100.0),
    (3e6, 0.0065, 75.0),
    (1.2e7, 0.01, 50.0),
    (7e7, 0.02, 25.0),
    (1e8, 0.025, 20.0),
    (2.3e8, 0.05, 10.0),
    (4.8e8, 0.1, 5.0),
    (6e8, 0.125, 4.0),
    (8e8, 0.15, 3.0),
    (1.2e9, 0.25, 2.0),
    (1.8e9, 0.5, 1.0),
)
_ETH_TIERS = _tiers(
    (5e4, 0.005, 100.0),
    (6e5, 0.0065, 75.0),
    (3e6, 0.01, 50.0),
    (1.2e7, 0.02, 25.0),
    (5e7, 0.05, 10.0),
    (1e8, 0.1, 5.0),
    (3e8, 0.25, 2.0),
    (6e8, 0.5, 1.0),
)
_ALT_TIERS = _tiers(
    (1e4, 0.01, 50.0),
    (5e4, 0.02, 25.0),
    (2e5, 0.05, 10.0),
    (1e6, 0.1, 5.0),
    (2e6, 0.125, 4.0),
    (5e6, 0.25, 2.0),
    (1e7, 0.5, 1.0),
)

PRESETS: Mapping[str, FuturesContract] = MappingProxyType(
    {
        contract.name: contract
        for contract in (
            FuturesContract(
                name="binance-btc",
                slippage=0.0001,
                tick_size=0.1,
                lot_size=0.001,
                min_notional=100.0,
                tiers=_BTC_TIERS,
            ),
            FuturesContract(
                name="binance-eth",
                slippage=0.0001,
                tick_size=0.01,
                lot_size=0.001,
                min_notional=20.0,
                tiers=_ETH_TIERS,
            ),
            FuturesContract(
                name="binance-alt",
                slippage=0.0003,
                liquidation_fee=0.015,
                min_notional=5.0,
                tiers=_ALT_TIERS,
            ),
            FuturesContract(
                name="fx-eurusd",
                taker_fee=0.00002,
                slippage=0.00003,
                liquidation_fee=0.0,
                tick_size=0.00001,
                lot_size=1.0,
                tiers=_tiers((1e9, 0.5 / 30.0, 30.0)),
                has_funding=False,
                session="weekdays",
            ),
        )
    }
)
"""Contracts by name."""

_CURRENCIES = frozenset({"EUR", "USD", "GBP", "JPY", "CHF", "AUD", "NZD", "CAD", "SEK", "NOK"})


def preset(name: str) -> FuturesContract:
    """The contract called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"Unknown contract preset {name!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def guess_preset(symbol: str) -> FuturesContract:
    """The most fitting preset for a symbol such as "BTCUSDT", "ETH/USDT:USDT" or "EURUSD"."""
    letters = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    if len(letters) == 6 and {letters[:3], letters[3:]} <= _CURRENCIES:
        return PRESETS["fx-eurusd"]
    if letters.startswith("BTCUSD"):
        return PRESETS["binance-btc"]
    if letters.startswith("ETHUSD"):
        return PRESETS["binance-eth"]
    return PRESETS["binance-alt"]
