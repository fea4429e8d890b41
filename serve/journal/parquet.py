"""`export`: decisions with their outcomes, and bars, as two parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.files import atomic_file
from quantum_trader.serve.journal.codec import OUTCOME_COLUMNS, outcome_row
from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.journal.records import JournalRow

ROWS = 5_000
"""Rows in memory at a time, and in a row group of the files."""

_MOMENT = pa.timestamp("ms", tz="UTC")
_NUMBERS = pa.list_(pa.float32())
_THREE = ("hold", "buy", "sell")

_DECISIONS = pa.schema(
    [
        ("id", pa.int64()),
        ("symbol", pa.string()),
        ("timestamp", _MOMENT),
        ("decided", _MOMENT),
        ("action", pa.string()),
        ("confidence", pa.float64()),
        *((f"p_{name}", pa.float64()) for name in _THREE),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("refused", pa.bool_()),
        ("model_hash", pa.string()),
        ("latency_ms", pa.float64()),
        ("close", pa.float64()),
        ("atr", pa.float64()),
        ("warming_up", pa.bool_()),
        ("warnings", pa.list_(pa.string())),
        ("shadow_action", pa.string()),
        ("shadow_confidence", pa.float64()),
        *((f"shadow_p_{name}", pa.float64()) for name in _THREE),
        *((f"{member}_p_{name}", pa.float64()) for member in ("tft", "ppo", "xgboost") for name in _THREE),
        ("quantiles", _NUMBERS),
        ("attention", _NUMBERS),
        ("importances", _NUMBERS),
        ("horizon_bars", pa.int64()),
        ("barrier_atr", pa.float64()),
        ("label", pa.string()),
        *(
            (
                name,
                _MOMENT if name.endswith("_ms") else pa.string() if name.endswith("reason") else pa.float64(),
            )
            for name in OUTCOME_COLUMNS[1:]
        ),
    ]
)
_BARS = pa.schema(
    [
        ("symbol", pa.string()),
        ("timestamp", _MOMENT),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume", "funding_rate")),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    decisions: Path
    """One row a decision, see `export`."""
    bars: Path
    """One row a bar."""
    decision_rows: int
    bar_rows: int


def export(reader: JournalReader, folder: Path, chosen: Selection) -> Exported:
    """Write `decisions.parquet` and `bars.parquet` into `folder`, each whole or not at all.

    Decisions: id, symbol, timestamp (open of the bar), decided, action, confidence, p_hold, p_buy, p_sell,
    source, reason, refused, model_hash, latency_ms, close, atr, warming_up, warnings, the shadow's action,
    confidence and probabilities, each member's vote (`tft_p_buy`, ...), quantiles (4 x 3 in a row),
    attention, importances, horizon_bars, barrier_atr; and of the outcome label and buy_* and sell_*
    (exit_ms, exit_reason, entry_price, exit_price, gross_return, net_return), empty where it is not known.
    Bars: symbol, timestamp, open, high, low, close, volume, funding_rate.

    Args:
        reader: of the journal.
        folder: made where missing; files of these names are replaced.
        chosen: which bars and decisions, by symbol and time.

    Raises:
        JournalError: the journal cannot be read.
        DataError: the folder cannot be written.
    """
    decisions, bars = folder / "decisions.parquet", folder / "bars.parquet"
    try:
        with atomic_file(decisions) as first, atomic_file(bars) as second:
            decision_rows = _write(first, _DECISIONS, _decision_pages(reader, chosen))
            bar_rows = _write(second, _BARS, _bar_pages(reader, chosen))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error}); name another folder or free some space."
        ) from error
    return Exported(decisions=decisions, bars=bars, decision_rows=decision_rows, bar_rows=bar_rows)


def _write(path: Path, schema: pa.Schema, pages: Iterator[list[dict[str, Any]]]) -> int:
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for page in pages:
            writer.write_table(pa.Table.from_pylist(page, schema=schema))
            rows += len(page)
    return rows


def _decision_pages(reader: JournalReader, chosen: Selection) -> Iterator[list[dict[str, Any]]]:
    for page in reader.pages(chosen, size=ROWS):
        yield [_decision(row) for row in page]


def _bar_pages(reader: JournalReader, chosen: Selection) -> Iterator[list[dict[str, Any]]]:
    for symbol in reader.symbols():
        if chosen.symbols is not None and symbol not in chosen.symbols:
            continue
        for bars in reader.bar_pages(symbol, since_ms=chosen.since_ms, until_ms=chosen.until_ms, size=ROWS):
            yield [_bar(symbol, bar) for bar in bars]


def _bar(symbol: str, bar: Bar) -> dict[str, Any]:
    return {"symbol": symbol, **vars(bar)}


def _decision(row: JournalRow) -> dict[str, Any]:
    entry, shadow = row.entry, row.entry.shadow
    plain = {
        "id": row.id,
        "symbol": entry.symbol,
        "timestamp": entry.bar_ms,
        "decided": entry.decided_ms,
        "action": entry.action.name,
        **_named("p", entry.probabilities),
        "warnings": list(entry.warnings),
        "quantiles": [value for triple in entry.quantiles for value in triple],
        "attention": list(entry.attention),
        "importances": list(entry.importances),
    }
    for vote in entry.votes:
        plain |= _named(f"{vote.member}_p", vote.probabilities)
    if shadow is not None:
        plain |= {"shadow_action": shadow.action.name, "shadow_confidence": shadow.confidence}
        plain |= _named("shadow_p", shadow.probabilities)
    if row.outcome is not None:
        plain |= dict(zip(OUTCOME_COLUMNS, outcome_row(row.outcome), strict=True))
        plain["label"] = row.outcome.label.name
    same = (
        "confidence",
        "source",
        "reason",
        "refused",
        "model_hash",
        "latency_ms",
        "close",
        "atr",
        "warming_up",
    )
    return plain | {name: getattr(entry, name) for name in (*same, "horizon_bars", "barrier_atr")}


def _named(prefix: str, probabilities: tuple[float, float, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in zip(_THREE, probabilities, strict=True)}
