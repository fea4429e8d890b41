"""Contracts from plain dictionaries and JSON files, and margin brackets as exchanges list them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantum_trader.envs.config import from_plain, read_json, to_plain
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import PRESETS, preset


def contract_from_dict(plain: Mapping[str, Any], *, where: str = "contract") -> FuturesContract:
    """A contract from plain values, strictly; the key "preset" starts from that preset.

    `{"preset": "binance-btc", "name": "mine", "taker_fee": 0.0004}` is binance-btc with another fee.

    Raises:
        ConfigError: an unknown key or preset, a value of the wrong type, or numbers that cannot be.
    """
    if isinstance(plain, Mapping) and "preset" in plain:
        given = {key: value for key, value in plain.items() if key != "preset"}
        base = plain["preset"]
        plain = given if base is None else {**to_plain(preset(str(base))), **given}
    return from_plain(FuturesContract, plain, where=where)


def read_contract(source: str | Path) -> FuturesContract:
    """A contract by the name of a preset, or from a JSON file.

    Raises:
        ConfigError: neither, or the file does not hold a contract.
    """
    if str(source) in PRESETS:
        return PRESETS[str(source)]
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"Expected a contract preset ({', '.join(PRESETS)}) or a JSON file, found {str(source)!r}."
        )
    return contract_from_dict(read_json(path), where=str(path))


def tiers_from_ccxt(tiers: Sequence[Mapping[str, Any]]) -> tuple[MarginTier, ...]:
    """Brackets from ccxt's unified leverage tiers (`fetch_leverage_tiers()[symbol]`), lowest first.

    Args:
        tiers: mappings with minNotional, maxNotional, maintenanceMarginRate and maxLeverage; ccxt's manual,
            "Leverage tiers". Venues differ by rounding: a floor that is not the cap below is moved there.

    Raises:
        ConfigError: a key is missing.
    """
    rows = sorted(tiers, key=lambda tier: float(tier.get("minNotional") or 0.0))
    floor, result = 0.0, []
    for row in rows:
        try:
            cap, mmr = float(row["maxNotional"]), float(row["maintenanceMarginRate"])
            leverage = float(row["maxLeverage"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "Expected leverage tiers with numbers for maxNotional, maintenanceMarginRate and "
                f"maxLeverage, as ccxt gives them; found {dict(row)!r}."
            ) from error
        result.append(MarginTier(floor=floor, cap=cap, mmr=mmr, max_leverage=leverage))
        floor = cap
    return tuple(result)
