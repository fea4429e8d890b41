"""The state of a paper account as plain JSON values, and back to the same bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.layout import ACCOUNT, QUOTE
from quantum_trader.envs.paper_log import FILL_FIELDS, TRADE_FIELDS, PaperFill, PaperLog, PaperTrade

VERSION = 1
ACCOUNT_FIELDS: tuple[str, ...] = ACCOUNT.names or ()
QUOTE_FIELDS: tuple[str, ...] = QUOTE.names or ()


@dataclass(frozen=True, kw_only=True)
class PaperState:
    """What a `PaperAccount` goes on from.

    Attributes:
        bars: bars taken in.
        last_ms: open of the newest, milliseconds since the epoch; None before the first.
        entry_ms: open of the bar the position was last opened in.
        account: float64 [fields of `Account`].
        quote: float64 [fields of `Quote`], the newest bar.
        log: trades and fills that nobody has taken.
    """

    bars: int
    last_ms: int | None
    entry_ms: int
    account: NDArray[np.float64]
    quote: NDArray[np.float64]
    log: PaperLog


def write_state(state: PaperState, *, symbol: str, rules: str) -> dict[str, Any]:
    """`state` as JSON values; `rules` says under which it was kept."""
    return {
        "version": VERSION,
        "symbol": symbol,
        "rules": rules,
        "bars": state.bars,
        "last_ms": state.last_ms,
        "entry_ms": state.entry_ms,
        "account": _named(ACCOUNT_FIELDS, state.account),
        "quote": _named(QUOTE_FIELDS, state.quote),
        "trades": [[trade.entry_ms, trade.exit_ms, *_plain(trade.values)] for trade in state.log.trades],
        "fills": [[fill.bar_ms, *_plain(fill.values)] for fill in state.log.fills],
    }


def read_state(state: Mapping[str, Any], *, symbol: str, rules: str) -> PaperState:
    """Back from `write_state`.

    Raises:
        ConfigError: another version, symbol or set of rules, or a damaged state.
    """
    where = f"The saved paper account of {symbol}"
    if not isinstance(state, Mapping) or "version" not in state:
        raise ConfigError(
            f"{where} is damaged: expected what PaperAccount.state() gave, found {state!r:.60}."
        )
    if state["version"] != VERSION:
        raise ConfigError(
            f"{where} is of version {state['version']!r}, this software reads {VERSION}; start a new one."
        )
    if state.get("symbol") != symbol:
        raise ConfigError(f"{where} belongs to {state.get('symbol')!r}; restore it there.")
    if state.get("rules") != rules:
        raise ConfigError(
            f"{where} was kept under another contract, configuration or bar length; "
            "restore it under those, or start a new one."
        )
    try:
        return _read(state)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"{where} is damaged ({type(error).__name__}: {error}); start a new one."
        ) from error


def plain_number(value: float) -> float | str:
    """A float as JSON can hold it: finite ones as they are, the others as "nan", "inf" and "-inf"."""
    number = float(value)
    return number if math.isfinite(number) else repr(number)


def _plain(values: Sequence[float]) -> list[float | str]:
    return [plain_number(value) for value in values]


def _named(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, float | str]:
    return {name: plain_number(value) for name, value in zip(names, values.tolist(), strict=True)}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"expected a number, found {value!r}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, found {value!r}")
    return value


def _row(names: Sequence[str], values: Mapping[str, Any]) -> NDArray[np.float64]:
    if set(values) != set(names):
        raise ValueError(f"expected the fields {', '.join(names)}")
    return np.array([_number(values[name]) for name in names])


def _values(row: Sequence[Any], names: Sequence[str]) -> tuple[float, ...]:
    if len(row) != len(names):
        raise ValueError(f"expected {len(names)} numbers, found {len(row)}")
    return tuple(_number(value) for value in row)


def _read(state: Mapping[str, Any]) -> PaperState:
    trades = tuple(
        PaperTrade(entry_ms=_whole(row[0]), exit_ms=_whole(row[1]), values=_values(row[2:], TRADE_FIELDS))
        for row in state["trades"]
    )
    fills = tuple(
        PaperFill(bar_ms=_whole(row[0]), values=_values(row[1:], FILL_FIELDS)) for row in state["fills"]
    )
    return PaperState(
        bars=_whole(state["bars"]),
        last_ms=None if state["last_ms"] is None else _whole(state["last_ms"]),
        entry_ms=_whole(state["entry_ms"]),
        account=_row(ACCOUNT_FIELDS, state["account"]),
        quote=_row(QUOTE_FIELDS, state["quote"]),
        log=PaperLog(trades=trades, fills=fills),
    )
