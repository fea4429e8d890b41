from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.sources.assemble import Rows, assemble, settle, unknown_parts

HOUR = 3_600_000
NONE = np.empty((0, 2))


def rows(count: int, *, funding: Any = NONE, **changes: Any) -> Rows:
    """Hourly bars from hour 0 on; bar t is open 100 + t, high + 2, low - 2, close + 1, volume t."""
    step = np.arange(count, dtype=np.float64)
    bars = np.column_stack([step * HOUR, 100 + step, 102 + step, 98 + step, 101 + step, step])
    mark = np.column_stack([step * HOUR, 200 + step, 202 + step, 198 + step, 201 + step])
    for name, (row, column, value) in changes.items():
        (bars if name.startswith("bar") else mark)[row, column] = value
    return Rows(bars=bars, mark=mark, funding=np.array(funding, dtype=np.float64).reshape(-1, 2))


def settled(
    *times_and_rates: tuple[float, float], hours: tuple[int, ...] = (0, 1, 2, 3), step: int = HOUR
) -> list[float]:
    funding: Floats = np.array(times_and_rates, dtype=np.float64)
    rates, _ = settle(np.array(hours, dtype=np.int64) * HOUR, funding, step)
    return [None if np.isnan(rate) else rate for rate in rates]  # type: ignore[misc]


@pytest.mark.parametrize("late_ms", [-20_000, 0, 5, 12_000, 29_000])
def test_a_settlement_belongs_to_the_bar_at_whose_open_it_falls(late_ms: int) -> None:
    """Stamped up to half a minute early or late, it still is the open's."""
    assert settled((2 * HOUR + late_ms, 0.01)) == [None, None, 0.01, None]


def test_a_settlement_inside_a_bar_is_paid_at_the_next_open() -> None:
    """With 4-hour bars and hourly funding a bar carries the four rates since the bar before."""
    rates = [(hour * HOUR, 0.001 * hour) for hour in range(1, 9)]
    found = settled(*rates, hours=(0, 4, 8), step=4 * HOUR)
    assert found == [None, pytest.approx(0.001 * (1 + 2 + 3 + 4)), pytest.approx(0.001 * (5 + 6 + 7 + 8))]


def test_a_settlement_told_twice_counts_once() -> None:
    """Overlapping pages with stamps some milliseconds apart."""
    assert settled((HOUR, 0.01), (HOUR + 3, 0.01)) == [None, 0.01, None, None]


def test_an_unknown_rate_is_no_settlement() -> None:
    """A venue's null is not a rate of zero."""
    assert settled((HOUR, np.nan)) == [None] * 4


def test_a_settlement_in_a_gap_is_told_and_not_put_elsewhere() -> None:
    """Its bar is missing: no other bar pays it."""
    rates, homeless = settle(np.array([0, 1, 5]) * HOUR, np.array([[3.0 * HOUR, 0.01]]), HOUR)
    assert np.isnan(rates).all()
    assert list(homeless) == [3 * HOUR]


def test_settlements_around_the_bars_are_passed_over() -> None:
    """Before the first bar and after the last there is nobody to pay."""
    rates, homeless = settle(
        np.array([10, 11]) * HOUR, np.array([[8.0 * HOUR, 1.0], [12.0 * HOUR, 1.0]]), HOUR
    )
    assert np.isnan(rates).all()
    assert not len(homeless)


def test_marks_find_their_bars() -> None:
    """A mark without a bar is dropped, a bar without a mark has none."""
    given = rows(5)
    frame = assemble(Rows(bars=given.bars[1:4], mark=given.mark[2:], funding=NONE), HOUR).frame
    assert frame["mark_open"].tolist()[1:] == [202.0, 203.0]
    assert np.isnan(frame["mark_open"][0])
    assert list(frame["timestamp"]) == [pd.Timestamp(hour * HOUR, unit="ms", tz="UTC") for hour in (1, 2, 3)]


@pytest.mark.parametrize(
    "change", [(2, 2, 99.0), (2, 3, 103.5), (2, 4, 0.0), (2, 1, np.nan), (2, 5, -1.0), (2, 5, np.nan)]
)
def test_a_bar_that_contradicts_itself_becomes_a_gap_and_is_told(change: tuple[int, int, float]) -> None:
    """It would be refused by every reader of the file; its neighbours are kept."""
    assembled = assemble(rows(4, bar=change), HOUR)
    assert assembled.frame["volume"].tolist() == [0.0, 1.0, 3.0]
    assert assembled.notes == (
        "1 bar left out: high, low and prices contradict each other (first 1970-01-01 02:00 UTC)",
    )


def test_a_mark_that_contradicts_itself_is_left_empty() -> None:
    """The bar stays, its mark price is unknown."""
    assembled = assemble(rows(4, mark=(1, 2, 1.0)), HOUR)
    assert np.isnan(assembled.frame["mark_close"][1])
    assert len(assembled.frame) == 4
    assert assembled.notes[0].startswith("1 mark price left empty")


def test_no_rows_at_all_are_an_empty_frame() -> None:
    """With every column, so that callers need not look."""
    frame = assemble(Rows(bars=np.empty((0, 6)), mark=np.empty((0, 5)), funding=NONE), HOUR).frame
    assert len(frame) == 0
    assert "mark_close" in frame
    assert unknown_parts(frame, funding=True, mark=True) == ()


def test_missing_funding_and_marks_are_told() -> None:
    """Three days without a settlement are worth a word, three hours are not."""
    every_eight = [(hour * HOUR, 0.0001) for hour in range(0, 240, 8)]
    whole = assemble(rows(240, funding=every_eight), HOUR).frame
    assert unknown_parts(whole, funding=True, mark=True) == ()
    holed = assemble(rows(240, funding=every_eight[:5] + every_eight[20:]), HOUR).frame
    assert unknown_parts(holed, funding=True, mark=True) == (
        "no funding rates from 1970-01-02 to 1970-01-07",
    )
    bare = assemble(Rows(bars=rows(240).bars, mark=np.empty((0, 5)), funding=NONE), HOUR).frame
    assert unknown_parts(bare, funding=True, mark=True) == (
        "no funding rates from 1970-01-01 to 1970-01-10",
        "240 of 240 bars have no mark price; the last price stands in",
    )
    assert unknown_parts(bare.iloc[:3], funding=True, mark=False) == ()
