"""`Plan`: what makes a live session's paper accounts what they are; its folder remembers it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantum_trader.envs.config import from_plain, read_json, to_plain
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.contract_file import contract_from_dict, read_contract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import write_json
from quantum_trader.envs.presets import guess_preset

SESSION = "session.json"
JOURNAL = "journal.sqlite"
BOOK = "paper.sqlite"
STATUS = "status.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What makes a paper account what it is; a folder keeps the plan it was started with."""

    exchange: str
    """ccxt's id of the exchange."""
    timeframe: str
    """Length of a bar, e.g. "1h"."""
    rules: EnvConfig
    """Rules of the paper accounts."""
    contracts: dict[str, FuturesContract]
    """Contract of every symbol that the folder has known."""


def chosen_contracts(symbols: Sequence[str], contract: str) -> dict[str, FuturesContract]:
    """The contract of each symbol: `contract`, a preset or a JSON file, or by the symbol's name where empty.

    Raises:
        ConfigError: no such preset or file.
    """
    return {symbol: read_contract(contract) if contract else guess_preset(symbol) for symbol in symbols}


def settled_plan(folder: Path, wanted: Plan, *, contract_given: bool) -> Plan:
    """The plan to go on with: the folder's own, with the symbols that are new to it; written down.

    The contracts that a folder knows stay as they are, even where a newer version of this software has
    other figures for them: an account goes on under the rules it began with.

    Args:
        folder: of the session.
        wanted: what this start asks for.
        contract_given: whether its contracts were named, and not guessed.

    Raises:
        ConfigError: the folder was started with another exchange, bar length, account rules or contract.
    """
    path = folder / SESSION
    if not path.is_file():
        _write(path, wanted)
        return wanted
    known = _read(path)
    for name, old, new in (
        ("exchange", known.exchange, wanted.exchange),
        ("timeframe", known.timeframe, wanted.timeframe),
        *_differences(known.rules, wanted.rules),
    ):
        if old != new:
            raise ConfigError(
                f"{folder}: this session was started with {name} {old}, found {new}; "
                "give the same as then, or another folder."
            )
    for symbol, contract in wanted.contracts.items():
        if contract_given and known.contracts.get(symbol, contract) != contract:
            raise ConfigError(
                f"{folder}: {symbol} was started with another contract than {contract.name}; "
                "leave --contract out to go on with that, or give another folder."
            )
    plan = Plan(
        exchange=known.exchange,
        timeframe=known.timeframe,
        rules=known.rules,
        contracts={**wanted.contracts, **known.contracts},
    )
    if plan != known:
        _write(path, plan)
    return plan


def read_plan(folder: Path) -> Plan:
    """The plan of a folder.

    Raises:
        ConfigError: it is no folder of a live session.
    """
    if not (folder / SESSION).is_file():
        raise ConfigError(
            f"{folder}: this is no folder of a live session, {SESSION} is missing; check the path."
        )
    return _read(folder / SESSION)


def _differences(old: EnvConfig, new: EnvConfig) -> list[tuple[str, Any, Any]]:
    before, after = to_plain(old), to_plain(new)
    return [(name, before.get(name), value) for name, value in after.items()]


def _write(path: Path, plan: Plan) -> None:
    write_json(path, {"version": 1, **to_plain(plan)})


def _read(path: Path) -> Plan:
    plain = read_json(path)
    if not isinstance(plain, Mapping) or plain.get("version") != 1:
        raise ConfigError(f"{path}: expected version 1 of a session's plan; use another folder.")
    with contextlib.suppress(KeyError, AttributeError):
        return Plan(
            exchange=str(plain["exchange"]),
            timeframe=str(plain["timeframe"]),
            rules=from_plain(EnvConfig, plain["rules"], where=f"{path}: rules"),
            contracts={
                symbol: contract_from_dict(contract, where=f"{path}: {symbol}")
                for symbol, contract in plain["contracts"].items()
            },
        )
    raise ConfigError(f"{path}: the plan of the session is damaged; use another folder.")
