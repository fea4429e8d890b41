"""The journal as columns, by read-only SQL: a million decisions without a million records.

Rows come in pages, and each page becomes arrays before the next is read, so that memory holds the columns of
a range and one page of it. Every text is looked at once, however often it occurs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.journal.schema import WAITING
from quantum_trader.serve.monitor.reasons import names_drift, reason_kind
from quantum_trader.serve.monitor.table import UNKNOWN, Coded, Integers, Table

_PAGE = 50_000
"""Decisions read in one transaction: a long one would keep the write-ahead log from being emptied."""
_COLUMNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "symbol": ("d.symbol_id", "i4"),
        "bar_ms": ("d.bar_ms", "i8"),
        "decided_ms": ("d.decided_ms", "i8"),
        "action": ("d.action", "i1"),
        "refused": ("d.refusal != ''", "?"),
        "horizon_bars": ("d.horizon_bars", "i8"),
        "due": (f"d.state = {WAITING}", "?"),
        "shadow_action": (f"ifnull(d.shadow_action, {UNKNOWN})", "i1"),
        "label": (f"ifnull(o.label, {UNKNOWN})", "i1"),
        "buy_exit_ms": (f"ifnull(o.buy_exit_ms, {UNKNOWN})", "i8"),
        "sell_exit_ms": (f"ifnull(o.sell_exit_ms, {UNKNOWN})", "i8"),
        "confidence": ("d.confidence", "f8"),
        "latency_ms": ("d.latency_ms", "f8"),
        "shadow_confidence": ("d.shadow_confidence", "f8"),
        "buy_gross": ("o.buy_gross_return", "f8"),
        "sell_gross": ("o.sell_gross_return", "f8"),
        "buy_net": ("o.buy_net_return", "f8"),
        "sell_net": ("o.sell_net_return", "f8"),
    }
)
"""Numbers: the SQL of each, and its type in the table."""
_TEXTS: Mapping[str, str] = MappingProxyType(
    {"source": "d.source", "model": "d.model_hash", "reason": "d.reason", "warnings": "d.warnings"}
)
_SELECT = f"""
SELECT {", ".join((*(sql for sql, _ in _COLUMNS.values()), *_TEXTS.values()))}
FROM decisions AS d LEFT JOIN outcomes AS o ON o.decision_id = d.id
"""
# The index on bars holds the ids too, so that this reads no decision.
_SPAN = "SELECT min(d.id), max(d.id) FROM decisions AS d"


_EVERYTHING = Selection()


def read_table(reader: JournalReader, chosen: Selection = _EVERYTHING) -> Table:
    """The decisions of a range as columns.

    Args:
        reader: of the journal.
        chosen: range of bars, and symbols; a symbol that the journal does not know has no rows.

    Raises:
        JournalError: the file cannot be read.
    """
    texts = {name: _Texts(_KINDS.get(name, str)) for name in _TEXTS}
    parts = [_arrays(page, texts) for page in _pages(reader, chosen)]
    columns = {name: _joined([part[name] for part in parts]) for name in (*_COLUMNS, *_TEXTS)}
    if np.any(np.diff(columns["bar_ms"]) < 0):
        order = np.argsort(columns["bar_ms"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
    # Read last, so that every symbol of a row is among them.
    names = dict(reader.query("SELECT id, name FROM symbols ORDER BY id"))
    return _table(columns, {name: known.names for name, known in texts.items()}, names)


def _pages(reader: JournalReader, chosen: Selection) -> Iterator[list[tuple[Any, ...]]]:
    """Rows by id, the order in which they lie in the file: by bar would hop through it."""
    conditions, values = chosen.conditions()
    within = "".join(f" AND {condition}" for condition in conditions)
    ranged = [part for part in conditions if "bar_ms" in part]
    span = f"{_SPAN} WHERE {' AND '.join(ranged)}" if ranged else _SPAN
    first, last = reader.query(span, values[: len(ranged)])[0]
    if first is None:
        return
    for begin in range(first, last + 1, _PAGE):
        end = min(begin + _PAGE - 1, last)
        if rows := reader.query(f"{_SELECT} WHERE d.id BETWEEN {begin} AND {end}{within}", values):
            yield rows


class _Texts:
    """Texts by number, in order of first sight; texts of one kind share a number.

    Args:
        kind: what is kept of a text.
    """

    def __init__(self, kind: Callable[[str], str]) -> None:
        self._kind = kind
        self._known: dict[str, int] = {}
        self._places: dict[str, int] = {}

    def codes(self, values: Sequence[str]) -> Integers:
        """int64 [n]: number of each text's kind."""
        for text in set(values) - self._known.keys():
            kind = self._kind(text)
            self._known[text] = self._places.setdefault(kind, len(self._places))
        return np.fromiter(map(self._known.__getitem__, values), dtype=np.int64, count=len(values))

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds by their number."""
        return tuple(self._places)


def _arrays(rows: list[tuple[Any, ...]], texts: Mapping[str, _Texts]) -> dict[str, NDArray[Any]]:
    """The columns of one page by name, of texts their codes."""
    values = dict(zip((*_COLUMNS, *_TEXTS), zip(*rows, strict=True), strict=True))
    numbers = {name: np.array(values[name], dtype=kind) for name, (_, kind) in _COLUMNS.items()}
    return {**numbers, **{name: known.codes(values[name]) for name, known in texts.items()}}


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _table(
    columns: dict[str, NDArray[Any]], texts: Mapping[str, tuple[str, ...]], names: dict[int, str]
) -> Table:
    coded = {name: Coded(names=texts[name], codes=columns.pop(name)) for name in texts}
    in_warnings = coded["warnings"].holds(names_drift([text], "") for text in texts["warnings"])
    in_reason = coded["reason"].holds(names_drift([], text) for text in texts["reason"])
    ids = np.array(list(names), dtype=np.int64)
    sides = {
        name: np.stack([columns.pop(f"buy_{name}"), columns.pop(f"sell_{name}")], axis=1)
        for name in ("exit_ms", "gross", "net")
    }
    return Table(
        symbol=Coded(names=tuple(names.values()), codes=np.searchsorted(ids, columns.pop("symbol"))),
        source=coded["source"],
        reason=coded["reason"],
        model=coded["model"],
        drifted=in_warnings | in_reason,
        **sides,
        **columns,
    )


def _warnings(text: str) -> str:
    """The warnings, a JSON list, in one text."""
    return reason_kind("; ".join(json.loads(text)))


_KINDS: Mapping[str, Callable[[str], str]] = MappingProxyType({"reason": reason_kind, "warnings": _warnings})
"""What is kept of a text where it is not the text itself."""
