"""Trades, fills, equity and bars of a live session's accounts as one parquet or CSV file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import atomic_file
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK, JOURNAL, read_plan
from quantum_trader.serve.live.feed import MarkedBar

What = Literal["trades", "fills", "equity", "bars"]


def export(
    folder: Path,
    output: Path,
    *,
    what: What = "trades",
    symbols: str = "",
) -> int:
    """Write the file, whole or not at all; columns as `PaperBook` gives them, with `symbol` in front.

    Bars have the columns of a data file (see `quantum_trader.envs.load`): with the journal's actions,
    `run_actions` gives the account's equity on them to the bit.

    Args:
        folder: of the session, which may be running.
        output: ends in .parquet or .csv.
        what: a row is a closed trade, a fill, a bar's equity, or a bar as the account met it: with its mark
            price, and with funding that was published late.
        symbols: separated by commas; empty takes all.

    Returns:
        Rows written.

    Raises:
        ConfigError: an unknown symbol or ending, or no folder of a live session.
        StoreError: the accounts cannot be read.
        JournalError: the journal cannot be read.
    """
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output}: expected a name ending in .parquet or .csv; rename it.")
    read_plan(folder)
    book = PaperBook(folder / BOOK, read_only=True)
    try:
        known = book.symbols()
        wanted = [name.strip() for name in symbols.split(",") if name.strip()] or known
        for name in wanted:
            if name not in known:
                raise ConfigError(f"{folder}: there is no account of {name!r}; it has {', '.join(known)}.")
        if what == "bars":
            frames = _bars(book, folder / JOURNAL, wanted)
        else:
            frames = [_named(getattr(book, what)(name), name) for name in wanted]
    finally:
        book.close()
    if not frames:
        raise ConfigError(f"{folder}: there are no accounts yet; wait for the warm-up.")
    table = pd.concat(frames, ignore_index=True)
    with atomic_file(output) as temporary:
        if output.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)
    return len(table)


def _bars(book: PaperBook, journal: Path, symbols: Sequence[str]) -> list[pd.DataFrame]:
    with JournalReader(journal) as reader:
        return [_named(_bars_frame(book.completed(name, reader.bars(name))), name) for name in symbols]


def _bars_frame(bars: Sequence[MarkedBar]) -> pd.DataFrame:
    """Columns of a data file; a mark price that is not known is empty."""
    names = ("open", "high", "low", "close", "volume", "funding_rate")
    frame = pd.DataFrame({name: [getattr(bar, name) for bar in bars] for name in names}, dtype="float64")
    stamps = pd.Series([bar.timestamp for bar in bars], dtype="int64")
    frame.insert(0, "timestamp", pd.to_datetime(stamps, unit="ms", utc=True))
    for name in ("open", "high", "low", "close"):
        marks = [math.nan if bar.mark is None else getattr(bar.mark, name) for bar in bars]
        frame[f"mark_{name}"] = pd.Series(marks, dtype="float64")
    return frame


def _named(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    frame.insert(0, "symbol", symbol)
    return frame
