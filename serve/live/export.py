"""Trades, fills and equity of a live session's accounts as one parquet or CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import atomic_file
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK, read_plan


def export(
    folder: Path, output: Path, *, what: Literal["trades", "fills", "equity"] = "trades", symbols: str = ""
) -> int:
    """Write the file, whole or not at all; columns as `PaperBook` gives them, with `symbol` in front.

    Args:
        folder: of the session, which may be running.
        output: ends in .parquet or .csv.
        what: a row is a closed trade, a fill, or a bar.
        symbols: separated by commas; empty takes all.

    Returns:
        Rows written.

    Raises:
        ConfigError: an unknown symbol or ending, or no folder of a live session.
        StoreError: the accounts cannot be read.
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


def _named(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    frame.insert(0, "symbol", symbol)
    return frame
