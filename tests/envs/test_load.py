"""Reading, checking and writing bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import bars_from_frame, read_bars, read_folder, write_bars
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

HOUR = 3_600_000
START = 1_700_000_000_000 // HOUR * HOUR


def frame(rows: int = 6) -> pd.DataFrame:
    """Bar i opens at 100 + i, an hour after the one before."""
    price = 100.0 + np.arange(rows)
    return pd.DataFrame(
        {
            "timestamp": pd.to_datetime(START + HOUR * np.arange(rows), unit="ms", utc=True),
            "open": price,
            "high": price + 2.0,
            "low": price - 2.0,
            "close": price + 1.0,
            "volume": 10.0 + np.arange(rows),
        }
    )


def assert_same(first: Bars, second: Bars) -> None:
    assert (first.symbol, first.step_ms, first.digest) == (second.symbol, second.step_ms, second.digest)


def test_columns_land_where_they_belong() -> None:
    """Each column of the frame becomes the array of that name; what is absent is NaN or the last price."""
    bars = bars_from_frame(frame(), symbol="X")
    assert bars.step_ms == HOUR
    assert bars.timestamp.tolist() == [START + HOUR * row for row in range(6)]
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(bars, name), frame()[name])
    assert np.isnan(bars.funding_rate).all()
    np.testing.assert_array_equal(bars.mark_high, bars.high)
    np.testing.assert_array_equal(bars.mark_low, bars.low)


def _as_text(values: pd.Series) -> pd.Series:
    return values.dt.strftime("%Y-%m-%dT%H:%M:%SZ")


TIME_FORMS = {
    "aware": lambda t: t,
    "other zone": lambda t: t.dt.tz_convert("Asia/Tokyo"),
    "naive": lambda t: t.dt.tz_localize(None),
    "nanoseconds": lambda t: t.dt.as_unit("ns"),
    "iso": _as_text,
    "iso date and time": lambda t: t.dt.strftime("%Y-%m-%d %H:%M:%S"),
    "epoch ms": lambda t: START + HOUR * np.arange(len(t)),
    "epoch s": lambda t: (START + HOUR * np.arange(len(t))) // 1000,
    "epoch us": lambda t: (START + HOUR * np.arange(len(t))) * 1_000,
    "epoch ns": lambda t: (START + HOUR * np.arange(len(t))) * 1_000_000,
    "epoch s as float": lambda t: (START + HOUR * np.arange(len(t))) / 1000.0,
    "python objects": lambda t: pd.Series([moment.to_pydatetime() for moment in t], dtype=object),
}


@pytest.mark.parametrize("form", TIME_FORMS)
def test_every_form_of_time_means_the_same_moment(form: str) -> None:
    """Zones, strings and epoch numbers of any usual unit give the same UTC milliseconds."""
    table = frame()
    table["timestamp"] = TIME_FORMS[form](table["timestamp"])
    assert_same(bars_from_frame(table, symbol="X"), bars_from_frame(frame(), symbol="X"))


@pytest.mark.parametrize("name", ["Timestamp", "time", "DATE", "datetime", "open_time", "index"])
def test_usual_names_are_understood(name: str) -> None:
    """Names in any case, the usual time columns, or a DatetimeIndex."""
    table = frame().rename(columns={"open": "Open", "volume": " VOLUME "})
    table = table.set_index("timestamp") if name == "index" else table.rename(columns={"timestamp": name})
    assert_same(bars_from_frame(table, symbol="X"), bars_from_frame(frame(), symbol="X"))


BAD_ROWS = {
    "no close": (lambda t: t.drop(columns="close"), "column 'close' is missing"),
    "no time": (lambda t: t.drop(columns="timestamp"), "time column is missing"),
    "unsorted": (lambda t: t.iloc[[0, 1, 3, 2, 4, 5]], "row 3 .*ascending order.*sort"),
    "duplicate": (lambda t: t.iloc[[0, 1, 1, 2]], "row 2 .*each time once.*duplicate"),
    "one bar": (lambda t: t.iloc[:1], "at least 2 bars, found 1"),
    "no bars": (lambda t: t.iloc[:0], "at least 2 bars, found 0"),
    "nan price": (
        lambda t: t.assign(open=t.open.where(t.index != 4)),
        "row 4 .*finite open above 0, found nan",
    ),
    "inf price": (lambda t: t.assign(high=t.high.where(t.index != 1, np.inf)), "row 1 .*finite high"),
    "zero price": (lambda t: t.assign(low=t.low.where(t.index != 2, 0.0)), "row 2 .*low above 0, found 0.0"),
    "negative price": (lambda t: t.assign(close=-t.close), "row 0 .*close above 0, found -101.0"),
    "high too low": (lambda t: t.assign(high=t.close - 0.5), "row 0 .*high >= max.*high 100.5 below 101.0"),
    "low too high": (lambda t: t.assign(low=t.open + 0.5), "row 0 .*low <= min.*low 100.5 above 100.0"),
    "negative volume": (
        lambda t: t.assign(volume=t.volume - 12.0),
        "row 0 .*volume of at least 0, found -2.0",
    ),
    "nan volume": (lambda t: t.assign(volume=t.volume.where(t.index != 5)), "row 5 .*volume"),
    "text price": (lambda t: t.astype({"open": object}).replace({"open": {103.0: "n/a"}}), "row 3.*'n/a'"),
    "bad time": (lambda t: t.assign(timestamp=[*_as_text(t.timestamp)[:5], "soon"]), "row 5: .*'soon'"),
    "no moment": (lambda t: t.assign(timestamp=t.timestamp.where(t.index != 2)), "row 2: expected a time"),
    "inf funding": (lambda t: t.assign(funding_rate=np.inf), "row 0 .*finite funding_rate"),
    "bad mark": (lambda t: t.assign(mark_high=90.0, mark_low=95.0), "row 0 .*mark_high >= mark_low"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_fault_is_named_in_one_sentence(fault: str) -> None:
    """The message names the source, the first bad row and what was expected, and ends with the remedy."""
    spoil, message = BAD_ROWS[fault]
    with pytest.raises(DataError, match=message) as caught:
        bars_from_frame(spoil(frame()), symbol="X", source="prices.csv")
    text = str(caught.value)
    assert text.startswith("prices.csv: ")
    assert text.endswith(".")
    assert "\n" not in text
    assert "; " in text


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz"])
def test_written_bars_read_back_equal(tmp_path: Path, ending: str) -> None:
    """A round trip through any format changes no bit of any column."""
    bars = synthetic_bars(SyntheticConfig(bars=400, seed=3, symbol="LIFELIKE"))
    path = tmp_path / f"LIFELIKE{ending}"
    write_bars(bars, path)
    assert_same(read_bars(path), bars)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["cut.parquet", "empty.parquet", "empty.csv", "cut.csv.gz", "binary.csv"])
def test_a_damaged_file_is_a_data_error(tmp_path: Path, name: str) -> None:
    """Truncated, empty and foreign files are refused with the file's name, whatever the parser raises."""
    path = tmp_path / name
    bars = synthetic_bars(SyntheticConfig(bars=300))
    write_bars(bars, tmp_path / f"whole{''.join(path.suffixes)}")
    whole = (tmp_path / f"whole{''.join(path.suffixes)}").read_bytes()
    content = {"cut": whole[: len(whole) // 2], "empty": b"", "binary": bytes(range(256)) * 8}[
        name.split(".")[0]
    ]
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_bars(path)


def test_unknown_endings_and_missing_files_are_data_errors(tmp_path: Path) -> None:
    """Both are told apart, for reading and for writing."""
    with pytest.raises(DataError, match=r"ending in \.parquet, \.csv"):
        read_bars(tmp_path / "bars.xlsx")
    with pytest.raises(DataError, match=r"ending in \.parquet, \.csv"):
        write_bars(bars_from_frame(frame(), symbol="X"), tmp_path / "bars.xlsx")
    with pytest.raises(DataError, match="no such file"):
        read_bars(tmp_path / "bars.csv")


def test_a_folder_gives_the_symbols_asked_for(tmp_path: Path) -> None:
    """All files in name order, or those asked for in that order; an unknown symbol names what exists."""
    for seed, name in enumerate(("BBB.csv", "AAA.parquet")):
        write_bars(synthetic_bars(SyntheticConfig(bars=5, seed=seed)), tmp_path / name)
    (tmp_path / "README.md").write_text("no data")
    assert [bars.symbol for bars in read_folder(tmp_path, None)] == ["AAA", "BBB"]
    assert [bars.symbol for bars in read_folder(tmp_path, ["BBB"])] == ["BBB"]
    with pytest.raises(DataError, match="no file for symbol 'CCC'; it has AAA, BBB"):
        read_folder(tmp_path, ["AAA", "CCC"])
    (tmp_path / "AAA.csv").write_bytes((tmp_path / "BBB.csv").read_bytes())
    with pytest.raises(DataError, match=r"one file per symbol, found AAA\.csv and AAA\.parquet"):
        read_folder(tmp_path, None)
    with pytest.raises(DataError, match="found none"):
        read_folder(tmp_path / "nowhere", None)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(1e-6, 1e6), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1), st.integers(1, 90)
        ),
        min_size=2,
        max_size=30,
    )
)
def test_any_valid_bars_load(rows: list[tuple[float, float, float, float, int]]) -> None:
    """Whatever satisfies the stated rules is accepted, gaps and all, and comes out as it went in."""
    low = np.array([row[0] for row in rows])
    opens, close = (low * (1 + np.array([row[k] for row in rows])) for k in (1, 2))
    high = np.maximum(opens, close) * (1 + np.array([row[3] for row in rows]))
    minutes = np.cumsum([row[4] for row in rows])
    table = pd.DataFrame({"time": minutes * 60, "open": opens, "high": high, "low": low, "close": close})
    bars = bars_from_frame(table.assign(volume=0.0), symbol="X")
    np.testing.assert_array_equal(bars.timestamp, minutes * 60_000)
    np.testing.assert_array_equal(bars.close, close)
    assert bars.step_ms == int(np.median(np.diff(minutes))) * 60_000 or len(rows) % 2
