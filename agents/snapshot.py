"""Snapshots: every history of an Arbiter as bytes, from which the next decisions are the same to the bit.

A snapshot holds bars, not indicators: TA-Lib's streaming handles cannot be saved, but opened again on the
same bars they stand at the same bits.

Layout: eight bytes `QTSNAP01`, the length of the header (8 bytes, little endian), the header (JSON: format,
feature set, bar length, symbols with their number of bars and how many of them fill the window, SHA-256 of
what follows), then the bars of all symbols, float64 [T, 7], little endian, in the order of
`quantum_trader.agents.bar_store.COLUMNS`. Nothing in it is executed when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantum_trader.agents.bar_store import COLUMNS, bars_of, fault_in, table_of
from quantum_trader.agents.history import LiveHistories, SymbolHistory
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.windows import WINDOW

MAGIC = b"QTSNAP01"
FORMAT = 1
_HEAD = len(MAGIC) + 8
_ROW = 8 * len(COLUMNS)
_REMEDY = "warm the Arbiter up from bars instead."


@dataclass(frozen=True, kw_only=True)
class SymbolRecord:
    """One symbol of a snapshot."""

    symbol: str
    bars: int
    """Bars kept."""
    filled: int
    """Of these, bars in the window."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a snapshot says of itself."""

    format: int
    """`FORMAT` of the software that wrote it."""
    feature_set: str
    step_ms: int
    symbols: tuple[SymbolRecord, ...]
    sha256: str
    """Of the bars."""


def write_snapshot(histories: LiveHistories) -> bytes:
    """The histories of all symbols that have seen a bar."""
    records, tables = [], []
    for symbol in histories.symbols():
        history = histories[symbol]
        with history.lock:
            if history.last_timestamp is None:
                continue
            bars = history.bars
            records.append(SymbolRecord(symbol=symbol, bars=len(bars), filled=history.length))
        tables.append(table_of(bars).astype("<f8", copy=False).tobytes())
    body = b"".join(tables)
    header = Header(
        format=FORMAT,
        feature_set=FEATURE_SET_VERSION,
        step_ms=histories.step_ms,
        symbols=tuple(records),
        sha256=hashlib.sha256(body).hexdigest(),
    )
    head = json.dumps(to_plain(header)).encode()
    return MAGIC + len(head).to_bytes(8, "little") + head + body


def read_snapshot(data: bytes, histories: LiveHistories) -> dict[str, SymbolHistory]:
    """New histories, by symbol, as they were when the snapshot was taken.

    Args:
        data: what `write_snapshot` returned.
        histories: say the contracts and the bar length; they are left as they are.

    Raises:
        ConfigError: not a snapshot, damaged, newer, or of another feature set or bar length.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise ConfigError(f"A snapshot is bytes, found {type(data).__name__}; {_REMEDY}")
    data = bytes(data)
    header = _header(data)
    _check(header, histories.step_ms)
    body = data[_HEAD + int.from_bytes(data[len(MAGIC) : _HEAD], "little") :]
    if len(body) != _ROW * sum(record.bars for record in header.symbols) or header.sha256 != _sha256(body):
        raise ConfigError(f"The snapshot is damaged: its bars do not match its header; {_REMEDY}")
    restored, start = {}, 0
    for record in header.symbols:
        stop = start + _ROW * record.bars
        table = np.frombuffer(body[start:stop], dtype="<f8").astype(np.float64).reshape(-1, len(COLUMNS))
        # The hash tells of accidents only: whoever writes a snapshot can write any hash.
        fault = fault_in(table)
        if fault:
            raise ConfigError(f"The snapshot is damaged: {record.symbol} has {fault}; {_REMEDY}")
        history = histories.new(record.symbol)
        history.reopen(bars_of(table, record.symbol, histories.step_ms), record.filled)
        restored[record.symbol] = history
        start = stop
    return restored


def _header(data: bytes) -> Header:
    if data[: len(MAGIC)] != MAGIC:
        raise ConfigError(f"This is no snapshot of an Arbiter: it does not begin with {MAGIC!r}; {_REMEDY}")
    length = int.from_bytes(data[len(MAGIC) : _HEAD], "little")
    try:
        plain: Any = json.loads(data[_HEAD : _HEAD + length])
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The snapshot is damaged: its header cannot be read; {_REMEDY}") from error
    found = plain.get("format") if isinstance(plain, Mapping) else None
    if isinstance(found, int) and found > FORMAT:
        raise ConfigError(f"The snapshot has format {found}, newer than {FORMAT}: upgrade, or {_REMEDY}")
    return from_plain(Header, plain, where="snapshot")


def _check(header: Header, step_ms: int) -> None:
    if header.feature_set != FEATURE_SET_VERSION:
        raise ConfigError(
            f"The snapshot was made for feature set {header.feature_set}, this software computes "
            f"{FEATURE_SET_VERSION}; {_REMEDY}"
        )
    if header.step_ms != step_ms:
        raise ConfigError(
            f"The snapshot holds bars of {header.step_ms} ms, this Arbiter takes {step_ms} ms; {_REMEDY}"
        )
    if len({record.symbol for record in header.symbols}) < len(header.symbols):
        raise ConfigError(f"The snapshot is damaged: it holds a symbol twice; {_REMEDY}")
    for record in header.symbols:
        if record.bars < 1 or not 0 <= record.filled <= min(WINDOW, record.bars):
            raise ConfigError(f"The snapshot is damaged: {record.symbol} has {record.bars} bars; {_REMEDY}")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
