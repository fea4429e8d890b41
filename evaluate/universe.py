"""Which symbols were traded when: without it a study of today's symbols sees the survivors only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bars, epoch_ms
from quantum_trader.envs.errors import DataError

_COLUMNS = ["symbol", "start", "end"]
_ALWAYS = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)


def read_universe(path: Path) -> dict[str, tuple[int, int]]:
    """When each symbol was traded.

    Args:
        path: CSV with the columns symbol, start, end: UTC dates, the end not included; empty is open.

    Returns:
        First and last moment by symbol, milliseconds since the epoch; the last is not included.

    Raises:
        DataError: the file is missing, lacks a column, names a symbol twice, or a date is none.
    """
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a universe: {error}.") from error
    if list(table.columns) != _COLUMNS:
        found = ", ".join(map(str, table.columns))
        raise DataError(f"{path}: expected the columns {', '.join(_COLUMNS)}, found {found}.")
    twice = table["symbol"][table["symbol"].duplicated()]
    if len(twice) or table["symbol"].isna().any():
        culprits = ", ".join(map(str, twice)) or "an empty one"
        raise DataError(f"{path}: every row needs its own symbol, found {culprits}.")
    return {
        str(row.symbol): (_moment(row.start, _ALWAYS[0], path), _moment(row.end, _ALWAYS[1], path))
        for row in table.itertuples()
    }


def in_universe(bars: Sequence[Bars], universe: dict[str, tuple[int, int]]) -> list[Bars]:
    """The symbols of a universe, each cut to the time it was traded.

    Raises:
        DataError: a symbol of the universe has no bars in its time, which would hide that it ever lived.
    """
    known = {each.symbol: each for each in bars}
    found = []
    for symbol, (first, last) in universe.items():
        mine = known.get(symbol)
        inside = slice(0, 0) if mine is None else slice(*np.searchsorted(mine.timestamp, [first, last]))
        if mine is None or inside.stop <= inside.start:
            raise DataError(
                f"{symbol} stands in the universe and has no bars in its time: add its data, delisted or "
                "not, or take it out of the universe, knowing that the study then sees survivors only."
            )
        found.append(mine[inside])
    return found


def _moment(text: object, otherwise: int, path: Path) -> int:
    if not isinstance(text, str):
        return otherwise  # pandas reads an empty cell as NaN
    try:
        return epoch_ms(pd.Timestamp(text))
    except ValueError as error:
        raise DataError(f"{path}: expected a UTC date such as 2024-06-01, found {text!r}.") from error
