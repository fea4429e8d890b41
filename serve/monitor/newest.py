"""The newest decisions of a journal: of every symbol, and one that explains itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.journal.records import Entry, JournalRow
from quantum_trader.serve.monitor.records import Explanation, LatestDecision

_LOOKED_AT = 500
"""Newest decisions among which an explanation is looked for."""
_SYMBOLS, _BARS_EACH = 20, 50
"""Symbols, and newest bars of each, that tell the length of a bar."""
_LATEST = (
    "s.name, d.bar_ms, d.decided_ms, d.action, d.confidence, d.hold, d.buy, d.sell, d.source, d.reason, "
    "d.warnings"
)


def read_newest_ms(reader: JournalReader, symbols: Sequence[str] | None = None) -> dict[str, int]:
    """When the newest decision on a bar that was taken in was made, by symbol, milliseconds, UTC."""
    newest = (
        "SELECT decided_ms FROM decisions WHERE symbol_id = s.id AND refusal = '' "
        "ORDER BY bar_ms DESC LIMIT 1"
    )
    found = reader.query(f"SELECT s.name, ({newest}) FROM symbols AS s ORDER BY s.name")
    wanted = None if symbols is None else set(symbols)
    return {name: when for name, when in found if when is not None and (wanted is None or name in wanted)}


def read_step_ms(reader: JournalReader) -> int:
    """Commonest distance between the newest bars of a few symbols, milliseconds; 0 where none has two."""
    newest = (
        "SELECT bar_ms FROM decisions WHERE symbol_id = ? AND refusal = '' ORDER BY bar_ms DESC "
        f"LIMIT {_BARS_EACH}"
    )
    distances: Counter[int] = Counter()
    for (number,) in reader.query(f"SELECT id FROM symbols ORDER BY id LIMIT {_SYMBOLS}"):
        bars = [bar_ms for (bar_ms,) in reader.query(newest, [number])]
        distances.update(later - earlier for later, earlier in pairwise(bars))
    return distances.most_common(1)[0][0] if distances else 0


def read_latest(reader: JournalReader, chosen: Selection) -> tuple[LatestDecision, ...]:
    """The newest decision of each symbol within a range, by name."""
    conditions, values = chosen.conditions()
    within = "".join(f" AND {condition}" for condition in conditions)
    newest = (
        f"SELECT d.id FROM decisions AS d WHERE d.symbol_id = s.id AND d.refusal = ''{within} "
        "ORDER BY d.bar_ms DESC LIMIT 1"
    )
    rows = reader.query(
        f"SELECT {_LATEST} FROM symbols AS s JOIN decisions AS d ON d.id = ({newest}) ORDER BY s.name", values
    )
    return tuple(_latest(row) for row in rows)


def read_explanation(reader: JournalReader, chosen: Selection) -> Explanation | None:
    """Attention and importances of the newest decision that has them; None where the newest have none."""
    conditions, values = chosen.conditions()
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    newest = f"SELECT * FROM decisions AS d {where} ORDER BY d.bar_ms DESC, d.id DESC LIMIT {_LOOKED_AT}"
    rows = reader.query(
        f"SELECT s.name, d.bar_ms, d.attention, d.importances FROM ({newest}) AS d "
        "JOIN symbols AS s ON s.id = d.symbol_id WHERE length(d.attention) + length(d.importances) > 0 "
        "ORDER BY d.bar_ms DESC, d.id DESC LIMIT 1",
        values,
    )
    if not rows:
        return None
    symbol, bar_ms, attention, importances = rows[0]
    return _explanation(symbol, bar_ms, _floats(attention), _floats(importances))


def newest_ms_of(rows: Sequence[JournalRow]) -> dict[str, int]:
    """`read_newest_ms` of rows."""
    return {symbol: row.entry.decided_ms for symbol, row in sorted(_newest(rows).items())}


def latest_of(rows: Sequence[JournalRow]) -> tuple[LatestDecision, ...]:
    """`read_latest` of rows."""
    return tuple(_latest_entry(row.entry) for _, row in sorted(_newest(rows).items()))


def explanation_of(rows: Sequence[JournalRow]) -> Explanation | None:
    """`read_explanation` of rows."""
    explained = [row for row in rows if row.entry.attention or row.entry.importances]
    if not explained:
        return None
    entry = max(explained, key=lambda row: (row.entry.bar_ms, row.id)).entry
    return _explanation(entry.symbol, entry.bar_ms, entry.attention, entry.importances)


def _newest(rows: Sequence[JournalRow]) -> dict[str, JournalRow]:
    taken = [row for row in rows if not row.entry.refused]
    return {row.entry.symbol: row for row in sorted(taken, key=lambda row: row.entry.bar_ms)}


def _latest(row: tuple[Any, ...]) -> LatestDecision:
    symbol, bar_ms, decided_ms, action, confidence, hold, buy, sell, source, reason, warnings = row
    return LatestDecision(
        symbol=symbol,
        bar_ms=bar_ms,
        decided_ms=decided_ms,
        action=Action(action).name,
        confidence=confidence,
        probabilities=(hold, buy, sell),
        source=source,
        reason=reason,
        warnings=tuple(json.loads(warnings)),
    )


def _latest_entry(entry: Entry) -> LatestDecision:
    return LatestDecision(
        symbol=entry.symbol,
        bar_ms=entry.bar_ms,
        decided_ms=entry.decided_ms,
        action=entry.action.name,
        confidence=entry.confidence,
        probabilities=entry.probabilities,
        source=entry.source,
        reason=entry.reason,
        warnings=entry.warnings,
    )


def _explanation(
    symbol: str, bar_ms: int, attention: Sequence[float], importances: Sequence[float]
) -> Explanation:
    return Explanation(
        symbol=symbol,
        bar_ms=bar_ms,
        attention=tuple(attention),
        importances=dict(zip(FEATURE_NAMES, importances, strict=False)),
    )


def _floats(blob: bytes) -> tuple[float, ...]:
    return tuple(np.frombuffer(blob, dtype="<f4").tolist())
