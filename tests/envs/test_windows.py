"""Windows, gaps and usable rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.presets import preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.windows import (
    find_breaks,
    gap_report,
    gather,
    is_break,
    usable_ends,
    window_view,
)

HOUR = 3_600_000
ALWAYS = preset("binance-btc")
WEEKDAYS = preset("fx-eurusd")
# 2024-01-05 was a Friday.
FRIDAY_21H = 1_704_488_400_000


def table(rows: int, features: int = 3) -> np.ndarray:
    """Value = 10 * row + feature."""
    return (10.0 * np.arange(rows)[:, None] + np.arange(features)).astype(np.float32)


def bars_at(hours: list[int], start: int = 0) -> Bars:
    """Hourly bars at the given hours after `start`."""
    bars = synthetic_bars(SyntheticConfig(bars=len(hours)))
    return replace(bars, timestamp=start + HOUR * np.array(hours, dtype=np.int64))


def test_windows_are_views() -> None:
    """Window i holds rows i to i + length - 1, costs no memory and cannot be written to."""
    base = table(100)
    view = window_view(base, 7)
    assert view.shape == (94, 7, 3)
    assert np.shares_memory(view, base)
    assert not view.flags.writeable
    np.testing.assert_array_equal(view[11], base[11:18])
    np.testing.assert_array_equal(window_view(base[20:50], 7)[0], base[20:27])
    assert window_view(base[:5], 7).shape == (0, 7, 3)


def test_gather_copies_the_windows_that_end_at_the_given_rows() -> None:
    """Any order, repeats allowed; contiguous, writable and independent of the table."""
    base = table(100)
    ends = np.array([99, 6, 50, 50])
    batch = gather(base, ends, 7)
    for window, end in zip(batch, ends, strict=True):
        np.testing.assert_array_equal(window, base[end - 6 : end + 1])
    assert batch.flags.c_contiguous
    assert batch.flags.writeable
    assert not np.shares_memory(batch, base)
    assert gather(base, np.array([], dtype=np.int64), 7).shape == (0, 7, 3)


def test_gather_works_on_a_slice_of_a_table() -> None:
    """Rows count from the slice's start."""
    base = table(100)
    np.testing.assert_array_equal(gather(base[40:60], np.array([9]), 5)[0], base[45:50])


@pytest.mark.parametrize("end", [5, -1, 100])
def test_gather_refuses_windows_that_leave_the_table(end: int) -> None:
    """An index that would wrap around or run over is an IndexError, not wrong data."""
    with pytest.raises(IndexError, match="rows 6 to 99"):
        gather(table(100), np.array([50, end]), 7)


def test_gather_refuses_a_table_with_holes_in_memory() -> None:
    """Columns cut out of a wider table are refused, since windows of them are no single runs of memory."""
    with pytest.raises(ValueError, match="contiguous"):
        gather(table(100)[:, :2], np.array([50]), 7)


def test_a_gap_breaks_windows_only_beyond_the_limit() -> None:
    """Three missing bars are bridged, four are not; the break stands at the bar after them."""
    hours = [*range(10), *range(13, 20), *range(24, 30)]  # 3 missing before hour 13, 4 before hour 24
    bars = bars_at(hours)
    assert np.flatnonzero(find_breaks(bars, ALWAYS)).tolist() == [hours.index(24)]
    assert np.flatnonzero(find_breaks(bars, ALWAYS, 2)).tolist() == [hours.index(13), hours.index(24)]
    report = gap_report(bars, ALWAYS)
    assert (report.gaps, report.longest, report.missing, report.breaks) == (2, 4, 7, 1)


def test_usable_windows_span_no_break_and_no_warm_up() -> None:
    """A window may start at the bar after a break or the first known row, never before."""
    hours = [*range(30), *range(50, 80)]
    features = table(60)
    features[:5] = np.nan
    usable = usable_ends(bars_at(hours), features, ALWAYS, length=8)
    # Rows 5 to 29 and 30 to 59 are known and unbroken: ends run from 7 rows after each start.
    assert np.flatnonzero(usable).tolist() == [*range(12, 30), *range(37, 60)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(1, 9), st.integers(0, 10))
def test_usable_ends_match_a_plain_loop(steps: list[int], length: int, unknown: int) -> None:
    """The cumulative sums give what looking at every window gives."""
    bars = bars_at(np.cumsum(steps).tolist())
    features = table(len(bars))
    features[:unknown] = np.nan
    expected = [
        end >= length - 1
        and bool(np.isfinite(features[end - length + 1 : end + 1]).all())
        and all(step <= 4 for step in steps[end - length + 2 : end + 1])
        for end in range(len(bars))
    ]
    assert usable_ends(bars, features, ALWAYS, length=length).tolist() == expected


def weekend(pause_hours: int) -> Bars:
    """Bars until Friday 21:00, then again after a pause of so many hours."""
    return bars_at([-2, -1, 0, 1 + pause_hours, 2 + pause_hours], start=FRIDAY_21H)


@pytest.mark.parametrize(
    ("pause", "broken"), [(2, False), (20, True), (48, False), (72, False), (80, False), (81, True)]
)
def test_only_a_weekend_of_a_weekday_market_is_no_gap(pause: int, broken: bool) -> None:
    """The pause must cover the Saturday and end within 80 hours."""
    bars = weekend(pause)
    assert find_breaks(bars, WEEKDAYS).tolist() == [False, False, False, broken, False]
    assert find_breaks(bars, ALWAYS).tolist() == [False, False, False, pause > 3, False]
    assert gap_report(bars, WEEKDAYS).pauses == int(48 <= pause <= 80)


def test_a_long_pause_in_mid_week_is_a_gap() -> None:
    """48 hours from Tuesday on break a weekday market too."""
    tuesday = FRIDAY_21H - 3 * 24 * HOUR
    assert find_breaks(bars_at([0, 1, 50, 51], start=tuesday), WEEKDAYS).tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_daily_bars_skip_weekends() -> None:
    """Monday to Friday bars that open at midnight have no gap."""
    days = [0, 1, 4, 5, 6, 7, 8, 11]  # from Thursday 2024-01-04 on
    bars = replace(bars_at([24 * day for day in days], start=FRIDAY_21H - 45 * HOUR), step_ms=24 * HOUR)
    assert not find_breaks(bars, WEEKDAYS, 1).any()
    assert gap_report(bars, WEEKDAYS).pauses == 2


@pytest.mark.parametrize("contract", [ALWAYS, WEEKDAYS], ids=["24/7", "weekdays"])
def test_the_live_rule_is_the_batch_rule(contract: FuturesContract) -> None:
    """`is_break` for two successive bars says what `find_breaks` says for the series."""
    rng = np.random.default_rng(0)
    steps = rng.choice([1, 2, 4, 5, 30, 49, 52, 60, 81, 82, 90], size=500)
    bars = bars_at(np.cumsum(steps).tolist(), start=FRIDAY_21H)
    live = [
        is_break(int(before), int(after), HOUR, contract)
        for before, after in zip(bars.timestamp[:-1], bars.timestamp[1:], strict=True)
    ]
    assert [False, *live] == find_breaks(bars, contract).tolist()


def test_gaps_of_the_sample() -> None:
    """One year of EURUSD: 51 weekends, and the one real gap at Christmas breaks it."""
    report = gap_report(sample_bars(), WEEKDAYS)
    assert (report.gaps, report.longest, report.missing, report.breaks, report.pauses) == (
        1,
        14,
        14,
        1,
        51,
    )
