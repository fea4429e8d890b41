"""Records of the journal as rows of its tables, and back."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quantum_trader.agents.decision import Vote
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.records import Entry, JournalRow, Outcome, Shadow, TradeResult
from quantum_trader.serve.journal.schema import NEVER, WAITING

Row = tuple[Any, ...]

SHADOW_COLUMNS: tuple[str, ...] = (
    "shadow_action",
    "shadow_confidence",
    "shadow_hold",
    "shadow_buy",
    "shadow_sell",
)
ENTRY_COLUMNS: tuple[str, ...] = (
    *("bar_ms", "refusal", "decided_ms", "action", "confidence", "hold", "buy", "sell", "source", "reason"),
    *("model_hash", "latency_ms", "close", "atr", "warming_up", "warnings"),
    *SHADOW_COLUMNS,
    *("votes", "quantiles", "attention", "importances", "horizon_bars", "barrier_atr", "state"),
)
_TRADE_COLUMNS = ("exit_ms", "exit_reason", "entry_price", "exit_price", "gross_return", "net_return")
OUTCOME_COLUMNS: tuple[str, ...] = (
    "label",
    *(f"buy_{name}" for name in _TRADE_COLUMNS),
    *(f"sell_{name}" for name in _TRADE_COLUMNS),
)
BAR_COLUMNS: tuple[str, ...] = ("bar_ms", "open", "high", "low", "close", "volume", "funding_rate")

COMPARED: tuple[str, ...] = ("action", "source", "model_hash", "confidence", "hold", "buy", "sell")
"""Columns by which a decision that is offered again counts as differing from the first."""

_QUANTILES_WIDTH = 3


def entry_row(entry: Entry) -> Row:
    """The values of `ENTRY_COLUMNS`.

    Raises:
        JournalError: a value that the journal cannot keep, such as a confidence that is not a number.
    """
    try:
        return _entry_row(entry)
    except (TypeError, ValueError, OverflowError) as error:
        raise JournalError(
            f"{entry.symbol}: the decision on bar {entry.bar_ms} cannot be kept ({error}); "
            "record finite numbers only."
        ) from error


def bar_row(bar: Bar) -> Row:
    """The values of `BAR_COLUMNS`; a funding rate that is not a number is NULL."""
    prices = tuple(_number(getattr(bar, name)) for name in BAR_COLUMNS[1:-1])
    rate = float(bar.funding_rate)
    return (_whole(bar.timestamp), *prices, None if math.isnan(rate) else _number(rate))


def outcome_row(outcome: Outcome) -> Row:
    """The values of `OUTCOME_COLUMNS`."""
    return (int(outcome.label), *_trade_row(outcome.buy), *_trade_row(outcome.sell))


def read_bar(row: Sequence[Any]) -> Bar:
    """The bar of the values of `BAR_COLUMNS`."""
    moment, opened, high, low, close, volume, rate = row
    return Bar(
        timestamp=moment,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        funding_rate=math.nan if rate is None else rate,
    )


def read_row(row: Sequence[Any]) -> JournalRow:
    """The record of (id, symbol, values of `ENTRY_COLUMNS`, values of `OUTCOME_COLUMNS`)."""
    number, symbol = row[:2]
    split = 2 + len(ENTRY_COLUMNS)
    entry = _read_entry(symbol, dict(zip(ENTRY_COLUMNS, row[2:split], strict=True)))
    found = row[split:]
    outcome = None if found[0] is None else _read_outcome(symbol, entry.bar_ms, found)
    return JournalRow(id=number, entry=entry, outcome=outcome)


def _entry_row(entry: Entry) -> Row:
    close, atr = _price(entry.close), _price(entry.atr)
    resolvable = close is not None and atr is not None and not entry.refused
    return (
        _whole(entry.bar_ms),
        (entry.reason.split(":")[0] or "refused") if entry.refused else "",
        _whole(entry.decided_ms),
        int(entry.action),
        _number(entry.confidence),
        *_three(entry.probabilities),
        str(entry.source),
        str(entry.reason),
        str(entry.model_hash),
        _number(entry.latency_ms),
        close,
        atr,
        int(bool(entry.warming_up)),
        json.dumps([str(text) for text in entry.warnings]),
        *_shadow_row(entry.shadow),
        json.dumps([_vote_row(vote) for vote in entry.votes]),
        _packed(value for triple in entry.quantiles for value in _three(triple)),
        _packed(entry.attention),
        _packed(entry.importances),
        _whole(entry.horizon_bars),
        _number(entry.barrier_atr),
        WAITING if resolvable else NEVER,
    )


def _shadow_row(shadow: Shadow | None) -> Row:
    if shadow is None:
        return (None,) * len(SHADOW_COLUMNS)
    return (int(shadow.action), _number(shadow.confidence), *_three(shadow.probabilities))


def _vote_row(vote: Vote) -> Row:
    return (str(vote.member), int(vote.action), *_three(vote.probabilities))


def _trade_row(trade: TradeResult) -> Row:
    return (
        _whole(trade.exit_ms),
        str(trade.exit_reason),
        *(_number(getattr(trade, name)) for name in _TRADE_COLUMNS[2:]),
    )


def _read_entry(symbol: str, values: dict[str, Any]) -> Entry:
    return Entry(
        symbol=symbol,
        bar_ms=values["bar_ms"],
        decided_ms=values["decided_ms"],
        action=Action(values["action"]),
        confidence=values["confidence"],
        probabilities=(values["hold"], values["buy"], values["sell"]),
        source=values["source"],
        reason=values["reason"],
        model_hash=values["model_hash"],
        latency_ms=values["latency_ms"],
        close=values["close"],
        atr=values["atr"],
        warming_up=bool(values["warming_up"]),
        warnings=tuple(json.loads(values["warnings"])),
        shadow=_read_shadow(values),
        votes=tuple(_read_vote(vote) for vote in json.loads(values["votes"])),
        quantiles=_triples(_unpacked(values["quantiles"])),
        attention=_unpacked(values["attention"]),
        importances=_unpacked(values["importances"]),
        refused=values["refusal"] != "",
        horizon_bars=values["horizon_bars"],
        barrier_atr=values["barrier_atr"],
    )


def _read_shadow(values: dict[str, Any]) -> Shadow | None:
    if values["shadow_action"] is None:
        return None
    return Shadow(
        action=Action(values["shadow_action"]),
        confidence=values["shadow_confidence"],
        probabilities=(values["shadow_hold"], values["shadow_buy"], values["shadow_sell"]),
    )


def _read_vote(vote: Sequence[Any]) -> Vote:
    member, action, hold, buy, sell = vote
    return Vote(member=member, action=Action(action), probabilities=(hold, buy, sell))


def _read_outcome(symbol: str, bar_ms: int, values: Sequence[Any]) -> Outcome:
    size = len(_TRADE_COLUMNS)
    buy = TradeResult(**dict(zip(_TRADE_COLUMNS, values[1 : 1 + size], strict=True)))
    sell = TradeResult(**dict(zip(_TRADE_COLUMNS, values[1 + size :], strict=True)))
    return Outcome(symbol=symbol, bar_ms=bar_ms, label=Action(values[0]), buy=buy, sell=sell)


def _whole(value: Any) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} is no 64-bit number")
    return number


def _number(value: Any) -> float:
    """A finite Python float: SQLite would turn NaN into NULL and refuse NumPy's own types."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _three(values: Sequence[Any]) -> tuple[float, float, float]:
    first, second, third = values
    return _number(first), _number(second), _number(third)


def _price(value: Any) -> float | None:
    """A price; None where it is unknown."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) and number > 0.0 else None


def _packed(values: Iterable[float]) -> bytes:
    """float32, as models answer: half the room of a double, and nothing is lost."""
    return np.fromiter(values, dtype="<f4").tobytes()


def _unpacked(blob: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(blob) // 4}f", blob)


def _triples(values: tuple[float, ...]) -> tuple[tuple[float, float, float], ...]:
    return tuple((values[k], values[k + 1], values[k + 2]) for k in range(0, len(values), _QUANTILES_WIDTH))
