"""Ready-made contracts: fees, slippage and margin brackets of well-known instruments.

Venues change their tables; these are round, representative figures for a regular account (no rebates), meant
for research. Before trading, build a `FuturesContract` from the venue's own answer.

| preset | taker fee | slippage + half spread | leverage |
|---|---|---|---|
| binance-btc, okx-btc | 5 bp | 1 bp | up to 125, 100 |
| binance-eth, okx-eth | 5 bp | 1 bp | up to 100 |
| binance-alt, okx-alt | 5 bp | 3 bp | up to 50 |
| bybit-btc, bybit-eth, bybit-alt | 5.5 bp | 1, 1, 3 bp | up to 100, 100, 50 |
| cme-es, cme-mes | 2.25, 0.62 dollars a contract | 0.5 bp | up to 15 |
| fx-eurusd | 0.2 bp | 0.3 bp | up to 30 |

The brackets follow the shape of each venue's USDT-margined tables, those for small coins on the careful side
because their books are thin. What differs between the venues is how maintenance margin is reckoned:

- Binance: on the mark price, by bracket with its maintenance amount;
- Bybit: fixed on the entry price, with the amount; an order also reserves the fee of closing at bankruptcy
  (help center, "Liquidation price calculation under isolated mode", 2024, and "Order cost");
- OKX: on the mark price, the bracket's rate on the whole notional, plus the taker fee.

OKX liquidates large positions in steps; here every liquidation takes the whole position.

cme-es and cme-mes: the (micro) E-mini S&P 500 of the front month, multiplier 50 and 5 dollars, quarter-point
tick, whole contracts; initial margin a fifteenth of the notional and 1.1 times the maintenance margin, as
CME Clearing sets it for speculators; an hour's pause a day; give `expiry` for one delivery month. Commission
includes exchange and clearing fees.

fx-eurusd: the commission of a commission-based broker; 0.3 bp is half of a 0.3 pip spread plus slippage of
the same order; 30:1 and close-out at half the initial margin are ESMA's rules for retail clients in major
pairs.
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

_BYBIT_BTC_TIERS = _tiers(
    (2e6, 0.005, 100.0),
    (1e7, 0.01, 50.0),
    (2e7, 0.02, 25.0),
    (4e7, 0.04, 12.5),
    (8e7, 0.08, 6.0),
    (1.6e8, 0.16, 3.0),
)
_BYBIT_ETH_TIERS = _tiers(
    (1.5e6, 0.005, 100.0),
    (6e6, 0.01, 50.0),
    (1.2e7, 0.02, 25.0),
    (3e7, 0.05, 10.0),
    (6e7, 0.1, 5.0),
    (1.2e8, 0.2, 2.5),
)
_BYBIT_ALT_TIERS = _tiers(
    (2e5, 0.01, 50.0),
    (4e5, 0.02, 25.0),
    (1e6, 0.05, 10.0),
    (2e6, 0.1, 5.0),
    (5e6, 0.25, 2.0),
)
_OKX_BTC_TIERS = _tiers(
    (5e5, 0.004, 100.0),
    (2e6, 0.006, 75.0),
    (5e6, 0.01, 50.0),
    (2e7, 0.02, 25.0),
    (5e7, 0.05, 10.0),
    (1.5e8, 0.1, 5.0),
    (3e8, 0.2, 2.5),
)
_OKX_ETH_TIERS = _tiers(
    (3e5, 0.004, 100.0),
    (1e6, 0.0065, 75.0),
    (3e6, 0.01, 50.0),
    (1e7, 0.02, 25.0),
    (3e7, 0.05, 10.0),
    (8e7, 0.1, 5.0),
    (1.6e8, 0.2, 2.5),
)
_OKX_ALT_TIERS = _tiers(
    (2e4, 0.01, 50.0),
    (1e5, 0.02, 20.0),
    (5e5, 0.05, 10.0),
    (1e6, 0.1, 5.0),
    (3e6, 0.2, 2.5),
)
_CME_TIERS = _tiers((1e9, 0.06, 15.0))


def _bybit(
    coin: str, tiers: tuple[MarginTier, ...], *, slippage: float = 0.0001, tick: float = 0.0, lot: float = 0.0
) -> FuturesContract:
    return FuturesContract(
        name=f"bybit-{coin}",
        taker_fee=0.00055,
        slippage=slippage,
        liquidation_fee=0.0,  # what is left of the margin goes to the insurance fund
        tick_size=tick,
        lot_size=lot,
        min_notional=5.0,
        tiers=tiers,
        maintenance_on="entry",
        reserve_closing_fee=True,
    )


def _okx(
    coin: str,
    tiers: tuple[MarginTier, ...],
    *,
    slippage: float = 0.0001,
    tick: float = 0.0,
    lot: float = 0.0,
    face_value: float = 1.0,
) -> FuturesContract:
    return FuturesContract(
        name=f"okx-{coin}",
        slippage=slippage,
        liquidation_fee=0.0,
        contract_size=face_value,
        tick_size=tick,
        lot_size=lot,
        tiers=tiers,
        tier_amounts=False,
        maintenance_fee=0.0005,
    )


def _e_mini(name: str, multiplier: float, commission: float) -> FuturesContract:
    return FuturesContract(
        name=name,
        taker_fee=0.0,
        commission=commission,
        slippage=0.00005,
        liquidation_fee=0.0,
        contract_size=multiplier,
        tick_size=0.25,
        lot_size=multiplier,
        tiers=_CME_TIERS,
        has_funding=False,
        session="cme",
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
            _bybit("btc", _BYBIT_BTC_TIERS, tick=0.1, lot=0.001),
            _bybit("eth", _BYBIT_ETH_TIERS, tick=0.01, lot=0.01),
            _bybit("alt", _BYBIT_ALT_TIERS, slippage=0.0003),
            _okx("btc", _OKX_BTC_TIERS, tick=0.1, lot=0.0001, face_value=0.01),
            _okx("eth", _OKX_ETH_TIERS, tick=0.01, lot=0.001, face_value=0.1),
            _okx("alt", _OKX_ALT_TIERS, slippage=0.0003),
            _e_mini("cme-es", 50.0, 2.25),
            _e_mini("cme-mes", 5.0, 0.62),
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
    """The most fitting preset for a symbol such as "BTCUSDT", "ETH/USDT:USDT", "ESM5" or "EURUSD"."""
    letters = re.sub(r"[^A-Z0-9]", "", symbol.upper())
    e_mini = re.fullmatch(r"(M?ES)(F|[HMUZ]\d{1,2})?", letters)
    if e_mini:
        return PRESETS[f"cme-{e_mini[1].lower()}"]
    if len(letters) == 6 and {letters[:3], letters[3:]} <= _CURRENCIES:
        return PRESETS["fx-eurusd"]
    if letters.startswith("BTCUSD"):
        return PRESETS["binance-btc"]
    if letters.startswith("ETHUSD"):
        return PRESETS["binance-eth"]
    return PRESETS["binance-alt"]
