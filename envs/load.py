"""Reading and writing bars: the one boundary at which market data is checked.

A file or DataFrame needs a time column and open, high, low, close, volume (names in any case); funding_rate,
mark_open, mark_high, mark_low and mark_close are optional and other columns are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats, Milliseconds
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.files import atomic_file

TIME_COLUMNS: tuple[str, ...] = ("timestamp", "open_time", "datetime", "date", "time")
"""Accepted names of the time column, first match wins; a DatetimeIndex does as well."""
PRICE_COLUMNS: tuple[str, ...] = ("open", "high", "low", "close")
MARK_COLUMNS: tuple[str, ...] = ("mark_open", "mark_high", "mark_low", "mark_close")

# Whole numbers count as seconds, milliseconds, microseconds or nanoseconds by their size: the limits lie
# beyond the year 5000 in the finer unit and before 1970-02 in the coarser, so no real market is ambiguous.
_EPOCH_UNITS: tuple[tuple[float, float], ...] = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (float("inf"), 1e-6))


def read_bars(path: Path, *, symbol: str | None = None) -> Bars:
    """Bars of one symbol from a parquet or CSV file.

    Args:
        path: a file ending in .parquet, .csv or .csv.gz.
        symbol: the instrument's name; by default the file name without its ending.

    Raises:
        DataError: the file is missing, unreadable, or holds bars that cannot be right.
    """
    path = Path(path)
    name = path.name.split(".")[0] if symbol is None else symbol
    return bars_from_frame(_read_frame(path), symbol=name, source=str(path))


def read_folder(path: Path, symbols: Sequence[str] | None = None) -> list[Bars]:
    """Bars of `symbols` (all, if None) from a folder with one file per symbol, in the order asked for.

    Raises:
        DataError: the folder holds no data files or not that symbol, or a file cannot be used.
    """
    path = Path(path)
    files: dict[str, Path] = {}
    for file in sorted(path.glob("*")):
        if _reader(file) is None:
            continue
        other = files.setdefault(file.name.split(".")[0], file)
        if other is not file:
            raise DataError(
                f"{path}: expected one file per symbol, found {other.name} and {file.name}; keep one."
            )
    if not files:
        raise DataError(f"{path}: expected a folder with .parquet or .csv files, found none; check the path.")
    wanted = list(files) if symbols is None else list(symbols)
    for name in wanted:
        if name not in files:
            raise DataError(f"{path}: there is no file for symbol {name!r}; it has {', '.join(files)}.")
    return [read_bars(files[name], symbol=name) for name in wanted]


def write_bars(bars: Bars, path: Path) -> None:
    """Write `bars` as parquet or CSV, by the ending of `path`, whole or not at all; `read_bars` reads them.

    Raises:
        DataError: the ending is neither.
    """
    path = Path(path)
    reader = _reader(path)
    if reader is None:
        raise _unknown_ending(path)
    frame = bars.to_frame()
    with atomic_file(path) as temporary:
        if reader is pd.read_parquet:
            frame.to_parquet(temporary, index=False)
        else:
            zipped = path.name.lower().endswith(".gz")
            frame.to_csv(temporary, index=False, compression="gzip" if zipped else None)


def bars_from_frame(frame: pd.DataFrame, *, symbol: str, source: str = "DataFrame") -> Bars:
    """Checked bars from a DataFrame.

    Args:
        frame: one row per closed bar, oldest first; times without a zone are UTC and mark the bar's open.
        symbol: the instrument's name.
        source: what messages call the frame, e.g. a file path.

    Raises:
        DataError: a column is missing or a row cannot be right; names the first such row.
    """
    columns = {str(column).strip().lower(): column for column in frame.columns}
    timestamp = _timestamps(frame, columns, source)
    numbers = {name: _numbers(frame, columns, name, source) for name in (*PRICE_COLUMNS, "volume")}
    funding = _numbers(frame, columns, "funding_rate", source, optional=True)
    marks = {name: _numbers(frame, columns, name, source, optional=True) for name in MARK_COLUMNS}
    check = _RowCheck(source, timestamp)
    _check_times(check)
    _check_values(check, numbers, funding)
    arrays = {**numbers, "funding_rate": funding, **_filled_marks(check, numbers, marks)}
    for array in (timestamp, *arrays.values()):
        array.setflags(write=False)
    return Bars(symbol=symbol, step_ms=int(np.median(np.diff(timestamp))), timestamp=timestamp, **arrays)


class _RowCheck:
    """Raises the `DataError` for the first row at which a mask is True."""

    def __init__(self, source: str, timestamp: Milliseconds) -> None:
        self.source = source
        self.timestamp = timestamp

    def forbid(self, bad: NDArray[np.bool_], found: Callable[[int], str], expected: str, remedy: str) -> None:
        if not bad.any():
            return
        row = int(np.argmax(bad))
        place = f"{self.source}: row {row} ({self.moment(row)})"
        raise DataError(f"{place}: expected {expected}, found {found(row)}; {remedy}.")

    def moment(self, row: int) -> str:
        return pd.Timestamp(int(self.timestamp[row]), unit="ms", tz="UTC").strftime("%Y-%m-%d %H:%M:%S UTC")


def _check_times(check: _RowCheck) -> None:
    times = check.timestamp
    if len(times) < 2:
        raise DataError(
            f"{check.source}: expected at least 2 bars, found {len(times)}; give a longer history."
        )
    step = np.diff(times, prepend=times[0] - 1)
    check.forbid(
        step < 0, lambda row: f"it after {check.moment(row - 1)}", "times in ascending order", "sort the rows"
    )
    check.forbid(step == 0, lambda row: "the time of the row before", "each time once", "drop the duplicate")


def _check_values(check: _RowCheck, numbers: dict[str, Floats], funding: Floats) -> None:
    repair = "correct the row or drop it"
    for name in PRICE_COLUMNS:
        values = numbers[name]
        bad = ~(np.isfinite(values) & (values > 0))
        check.forbid(bad, _value_in(values), f"a finite {name} above 0", repair)
    volume = numbers["volume"]
    bad = ~(np.isfinite(volume) & (volume >= 0))
    check.forbid(bad, _value_in(volume), "a finite volume of at least 0", repair)
    check.forbid(np.isinf(funding), _value_in(funding), "a finite funding_rate or none at all", repair)
    high, low = numbers["high"], numbers["low"]
    top = np.maximum(numbers["open"], numbers["close"])
    bottom = np.minimum(numbers["open"], numbers["close"])
    check.forbid(
        high < top, lambda row: f"high {high[row]} below {top[row]}", "high >= max(open, close)", repair
    )
    check.forbid(
        low > bottom, lambda row: f"low {low[row]} above {bottom[row]}", "low <= min(open, close)", repair
    )


def _value_in(values: Floats) -> Callable[[int], str]:
    return lambda row: str(values[row])


def _filled_marks(
    check: _RowCheck, numbers: dict[str, Floats], marks: dict[str, Floats]
) -> dict[str, Floats]:
    """The mark price, taken from the last price where it is unknown."""
    ends = (marks["mark_open"], marks["mark_close"])
    widest = (np.fmax.reduce([numbers["high"], *ends]), np.fmin.reduce([numbers["low"], *ends]))
    high = np.where(np.isnan(marks["mark_high"]), widest[0], marks["mark_high"])
    low = np.where(np.isnan(marks["mark_low"]), widest[1], marks["mark_low"])
    repair = "correct the row or leave the mark columns empty"
    bad = ~(np.isfinite(high) & (low > 0) & (high >= low))
    check.forbid(
        bad,
        lambda row: f"mark_high {high[row]} and mark_low {low[row]}",
        "finite mark_high >= mark_low > 0",
        repair,
    )
    filled = {"mark_high": high, "mark_low": low}
    for name, last in (("mark_open", numbers["open"]), ("mark_close", numbers["close"])):
        given = marks[name]
        outside = ~np.isnan(given) & ~((given >= low) & (given <= high))
        check.forbid(outside, _value_in(given), f"{name} from mark_low to mark_high", repair)
        filled[name] = np.where(np.isnan(given), np.clip(last, low, high), given)
    return filled


def _read_frame(path: Path) -> pd.DataFrame:
    reader = _reader(path)
    if reader is None:
        raise _unknown_ending(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the path.")
    try:
        return reader(path)
    # pyarrow and pandas raise many unrelated kinds for a damaged file: all mean the same to the user.
    except (ValueError, OSError, EOFError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); download or export the file again.") from error


def _reader(path: Path) -> Callable[[Path], pd.DataFrame] | None:
    name = path.name.lower()
    if name.startswith("."):  # hidden files, among them the unfinished ones of `atomic_file`
        return None
    if name.endswith(".parquet"):
        return pd.read_parquet
    return _read_csv if name.endswith((".csv", ".csv.gz")) else None


def _unknown_ending(path: Path) -> DataError:
    return DataError(
        f"{path}: expected a name ending in .parquet, .csv or .csv.gz; rename or convert the file."
    )


def _read_csv(path: Path) -> pd.DataFrame:
    # pandas' own parser is off by an ulp now and then: what was written would not be what is read.
    return pd.read_csv(path, engine="pyarrow")


def _timestamps(frame: pd.DataFrame, columns: Mapping[str, Hashable], source: str) -> Milliseconds:
    name = next((column for column in TIME_COLUMNS if column in columns), None)
    if name is None and isinstance(frame.index, pd.DatetimeIndex):
        values = frame.index.to_series()
    elif name is None:
        raise DataError(
            f"{source}: the time column is missing, expected one of {', '.join(TIME_COLUMNS)}, "
            f"found {_listed(columns)}; rename the column."
        )
    else:
        values = frame[columns[name]]
    moments = _moments(values)
    unknown = np.asarray(moments.isna())
    if unknown.any():
        row = int(np.argmax(unknown))
        raise DataError(
            f"{source}: row {row}: expected a time (ISO 8601, or seconds or milliseconds since 1970), "
            f"found {values.iloc[row]!r}; correct the row or drop it."
        )
    return np.array(moments.dt.as_unit("ms").astype("int64"), dtype=np.int64)


def _moments(values: pd.Series) -> pd.Series:
    """UTC datetimes, NaT where a value is no time."""
    if not pd.api.types.is_numeric_dtype(values):
        return pd.to_datetime(
            values, utc=True, errors="coerce", format=None if _is_time(values) else "ISO8601"
        )
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    size = np.nanmax(np.abs(numbers)) if np.isfinite(numbers).any() else 0.0
    factor = next(factor for limit, factor in _EPOCH_UNITS if size < limit)
    whole = pd.Series(np.rint(numbers * factor)).where(np.isfinite(numbers))
    return pd.to_datetime(whole, unit="ms", utc=True, errors="coerce")


def _is_time(values: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(values))


def _numbers(
    frame: pd.DataFrame, columns: Mapping[str, Hashable], name: str, source: str, *, optional: bool = False
) -> Floats:
    if name not in columns:
        if optional:
            return np.full(len(frame), np.nan)
        raise DataError(
            f"{source}: column {name!r} is missing, found {_listed(columns)}; add or rename the column."
        )
    raw = frame[columns[name]]
    numbers = np.array(pd.to_numeric(raw, errors="coerce"), dtype=np.float64)
    wrong = np.isnan(numbers) & np.asarray(raw.notna())
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{source}: row {row}: expected a number for {name}, found {raw.iloc[row]!r}; correct the row."
        )
    return numbers


def _listed(columns: Mapping[str, Hashable]) -> str:
    return ", ".join(columns) if columns else "no columns"
