"""Rows as bots have them, read as bars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.live_bar import as_bar

OPENED = pd.Timestamp("2024-03-01 05:00", tz="UTC")
WANTED = Bar(
    timestamp=1_709_269_200_000, open=10.0, high=12.0, low=9.0, close=11.0, volume=3.0, funding_rate=math.nan
)


def frame(**times: Any) -> pd.DataFrame:
    values = {"open": [10.0], "high": [12.0], "low": [9.0], "close": [11.0], "volume": [3.0]}
    return pd.DataFrame({**times, **values})


def with_index(index: Any) -> pd.DataFrame:
    return frame().set_index(index)


ROWS: dict[str, Any] = {
    "a column timestamp": frame(timestamp=[OPENED]).iloc[0],
    "a column date, as freqtrade has it": frame(date=[OPENED]).iloc[0],
    "an index of times": with_index(pd.DatetimeIndex([OPENED])).iloc[-1],
    "an index of times without a zone": with_index(pd.DatetimeIndex([OPENED.tz_localize(None)])).iloc[-1],
    "nullable columns with a missing funding rate": frame(timestamp=[OPENED])
    .assign(funding_rate=pd.Series([None], dtype="object"))
    .convert_dtypes()
    .iloc[0],
    "a mapping with a date": frame().iloc[0].to_dict() | {"date": OPENED.to_pydatetime()},
    "numpy scalars": {name: np.float64(value) for name, value in frame().iloc[0].items()}
    | {"timestamp": np.int64(WANTED.timestamp)},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rows_of_every_kind_are_the_same_bar(row: Any) -> None:
    """Wherever the time stands, and whatever stands for no funding."""
    found = as_bar(row, symbol="A")
    assert math.isnan(found.funding_rate)
    assert vars(found) | {"funding_rate": 0} == vars(WANTED) | {"funding_rate": 0}


@pytest.mark.parametrize("nothing", [None, pd.NaT, pd.NA])
@pytest.mark.parametrize("field", ["timestamp", "close", "volume"])
def test_what_is_missing_is_named(field: str, nothing: Any) -> None:
    """A field that holds nothing is a field that is not there."""
    row: dict[str, Any] = {**frame().iloc[0], "timestamp": WANTED.timestamp, field: nothing}
    with pytest.raises(DataError, match=f"A: the bar lacks '{field}'"):
        as_bar(row, symbol="A")


def test_a_row_without_times_says_so() -> None:
    """The number of a row is no time."""
    with pytest.raises(DataError, match="lacks 'timestamp'"):
        as_bar(frame().iloc[0], symbol="A")
