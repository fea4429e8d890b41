"""`Table`: the decisions of a range as columns, which is what all figures and alerts are computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.serve.journal.records import Entry, JournalRow, TradeResult
from quantum_trader.serve.monitor.reasons import (
    is_left_out,
    names_drift,
    names_failure,
    reason_kind,
)

Integers = NDArray[np.int64]
Small = NDArray[np.int8]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNKNOWN = -1
"""Stands for an action that is not known: no shadow, no outcome yet."""
_SOMETIMES = 60_000


@dataclass(frozen=True, kw_only=True)
class Coded:
    """A column of few distinct texts.

    Attributes:
        names: the texts.
        codes: int64 [N], position of each row's text in `names`.
    """

    names: tuple[str, ...]
    codes: Integers

    @staticmethod
    def of(values: Sequence[str]) -> Coded:
        """The column of `values`; names stand in order of first appearance."""
        places: dict[str, int] = {}
        codes = np.fromiter((places.setdefault(value, len(places)) for value in values), dtype=np.int64)
        return Coded(names=tuple(places), codes=codes)

    def counts(self) -> dict[str, int]:
        """Rows by text, most frequent first."""
        found = np.bincount(self.codes, minlength=len(self.names))
        order = np.argsort(-found, kind="stable")
        return {self.names[place]: int(found[place]) for place in order if found[place]}

    def where(self, rows: Mask | Integers) -> Coded:
        """The column at `rows`."""
        return Coded(names=self.names, codes=self.codes[rows])

    def holds(self, test: Iterable[bool]) -> Mask:
        """bool [N]: what `test`, one value a name, says of each row."""
        answers = np.array([*test, False], dtype=np.bool_)
        return np.asarray(answers[self.codes])


@dataclass(frozen=True, kw_only=True)
class Table:
    """`N` decisions, oldest bar first.

    Attributes:
        symbol, source, reason, model: texts; `reason` is the kind of reason (`reason_kind`).
        bar_ms, decided_ms: int64 [N], milliseconds since the epoch, UTC.
        action: int8 [N], values of `Action`.
        confidence: float64 [N], directional.
        latency_ms: float64 [N].
        refused: bool [N], the bar was not taken in: it was malformed, repeated, out of order, open, ...
        drifted: bool [N], a warning or the reason names drift or inputs out of distribution.
        shadow_action: int8 [N], `UNKNOWN` where XGBoost was not asked.
        shadow_confidence: float64 [N], NaN there.
        horizon_bars: int64 [N], bars after which the outcome can be known.
        due: bool [N], the outcome is not known and may still come.
        label: int8 [N], the triple-barrier label; `UNKNOWN` where the outcome is not known.
        exit_ms: int64 [N, 2], open of the bar in which a BUY or a SELL would have been closed.
        gross, net: float64 [N, 2], return of that BUY and SELL, fraction of notional; NaN where not known.
    """

    symbol: Coded
    source: Coded
    reason: Coded
    model: Coded
    bar_ms: Integers
    decided_ms: Integers
    action: Small
    confidence: Floats
    latency_ms: Floats
    refused: Mask
    drifted: Mask
    shadow_action: Small
    shadow_confidence: Floats
    horizon_bars: Integers
    due: Mask
    label: Small
    exit_ms: Integers
    gross: Floats
    net: Floats

    def __len__(self) -> int:
        return len(self.bar_ms)

    def where(self, rows: Mask | Integers) -> Table:
        """The table at `rows`."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        parts: dict[str, Any] = {
            name: column.where(rows) if isinstance(column, Coded) else column[rows]
            for name, column in columns.items()
        }
        return Table(**parts)

    @cached_property
    def decided(self) -> Mask:
        """bool [N]: decisions proper; neither refused, nor late, nor still without a full window."""
        return np.asarray(~self.refused & ~self._said(is_left_out))

    @cached_property
    def counted(self) -> Table:
        """The decisions proper."""
        return self if self.decided.all() else self.where(self.decided)

    @cached_property
    def resolved(self) -> Mask:
        """bool [N]: whether the outcome is known."""
        return np.asarray(self.label != UNKNOWN)

    @cached_property
    def failed(self) -> Mask:
        """bool [N]: whether the reason says that a model was missing, failed or was too slow."""
        return self.reason.holds(names_failure(kind) for kind in self.reason.names)

    @cached_property
    def step_ms(self) -> int:
        """Commonest distance between successive bars of a symbol, milliseconds; 0 where none has two."""
        order = np.lexsort((self.bar_ms, self.symbol.codes))
        codes, moments = self.symbol.codes[order], self.bar_ms[order]
        apart = np.diff(moments)[(np.diff(codes) == 0) & (np.diff(moments) > 0)]
        if not len(apart):
            return 0
        distances, counts = np.unique(apart[-_SOMETIMES:], return_counts=True)
        return int(distances[np.argmax(counts)])

    def _said(self, test: Any) -> Mask:
        """bool [N]: `test` of source and kind of reason, asked once for each pair that occurs."""
        width = max(len(self.reason.names), 1)
        pairs = self.source.codes * width + self.reason.codes
        known = {
            int(pair): test(self.source.names[pair // width], self.reason.names[pair % width])
            for pair in np.unique(pairs)
        }
        if not known:
            return np.zeros(0, dtype=np.bool_)
        answers = np.zeros(max(known) + 1, dtype=np.bool_)
        answers[list(known)] = list(known.values())
        return np.asarray(answers[pairs])


def table_of(rows: Iterable[JournalRow]) -> Table:
    """The table of journal rows in any order."""
    ordered = sorted(rows, key=lambda row: (row.entry.bar_ms, row.id))
    entries = [row.entry for row in ordered]
    outcomes = [row.outcome for row in ordered]
    trades = [(known.buy, known.sell) if known else None for known in outcomes]
    return Table(
        symbol=Coded.of([entry.symbol for entry in entries]),
        source=Coded.of([entry.source for entry in entries]),
        reason=Coded.of([reason_kind(entry.reason) for entry in entries]),
        model=Coded.of([entry.model_hash for entry in entries]),
        bar_ms=np.array([entry.bar_ms for entry in entries], dtype=np.int64),
        decided_ms=np.array([entry.decided_ms for entry in entries], dtype=np.int64),
        action=np.array([entry.action for entry in entries], dtype=np.int8),
        confidence=np.array([entry.confidence for entry in entries], dtype=np.float64),
        latency_ms=np.array([entry.latency_ms for entry in entries], dtype=np.float64),
        refused=np.array([entry.refused for entry in entries], dtype=np.bool_),
        drifted=np.array([names_drift(e.warnings, e.reason) for e in entries], dtype=np.bool_),
        shadow_action=np.array([e.shadow.action if e.shadow else UNKNOWN for e in entries], dtype=np.int8),
        shadow_confidence=np.array(
            [e.shadow.confidence if e.shadow else np.nan for e in entries], dtype=np.float64
        ),
        horizon_bars=np.array([entry.horizon_bars for entry in entries], dtype=np.int64),
        due=np.array([row.outcome is None and may_resolve(row.entry) for row in ordered], dtype=np.bool_),
        label=np.array([known.label if known else UNKNOWN for known in outcomes], dtype=np.int8),
        exit_ms=_pairs(trades, "exit_ms", UNKNOWN).astype(np.int64),
        gross=_pairs(trades, "gross_return", np.nan),
        net=_pairs(trades, "net_return", np.nan),
    )


def may_resolve(entry: Entry) -> bool:
    """Whether an outcome can be known at all: the bar was taken in, and had a close and an ATR."""
    return entry.close is not None and entry.atr is not None and not entry.refused


def side(actions: Small) -> Integers:
    """int64 [N]: column of `Table.net` and its like that an action's trade stands in; BUY's for HOLD."""
    return np.where(actions == Action.SELL, 1, 0)


def _pairs(trades: Sequence[tuple[TradeResult, TradeResult] | None], name: str, unknown: float) -> Floats:
    """float64 [N, 2]: one field of the BUY and of the SELL."""
    values = [
        (unknown, unknown) if pair is None else (getattr(pair[0], name), getattr(pair[1], name))
        for pair in trades
    ]
    # Times of today in milliseconds are far below 2 ** 53, so that a float holds them exactly.
    return np.array(values, dtype=np.float64).reshape(len(values), 2)
