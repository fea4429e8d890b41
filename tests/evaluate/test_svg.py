from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import decimate, nice_ticks, time_ticks

JANUARY_2025 = 1_735_689_600_000
HOUR = 3_600_000


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_ticks_are_round_inside_and_not_too_many(low: float, width: float, wanted: int) -> None:
    """Ticks lie inside the range, evenly spaced, at most one more than wanted."""
    high = low + width
    if high <= low:
        return
    ticks = nice_ticks(low, high, wanted)
    assert len(ticks) <= wanted + 1
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if len(ticks) > 2:
        np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


def test_ticks_by_example() -> None:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten; a single value has one tick."""
    assert nice_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(-0.3, 0.72, 5) == [-0.25, 0.0, 0.25, 0.5]
    assert nice_ticks(3.0, 3.0) == [3.0]
    assert nice_ticks(float("nan"), 1.0) == []


@pytest.mark.parametrize("hours", [1, 5, 20, 100, 1_000, 10_000, 100_000])
def test_time_ticks_fit_every_span(hours: int) -> None:
    """From an hour to a decade there are some ticks inside the span, at most about as many as wanted."""
    stop = JANUARY_2025 + hours * HOUR
    ticks = time_ticks(JANUARY_2025, stop, 6)
    assert 1 <= len(ticks) <= 7
    assert all(JANUARY_2025 <= tick.value <= stop for tick in ticks)
    assert len({tick.label for tick in ticks}) == len(ticks)


def test_month_ticks_are_firsts_of_months() -> None:
    """Half a year is marked by months."""
    labels = [tick.label for tick in time_ticks(JANUARY_2025, JANUARY_2025 + 181 * 24 * HOUR, 8)]
    assert labels == ["Jan 2025", "Feb 2025", "Mar 2025", "Apr 2025", "May 2025", "Jun 2025", "Jul 2025"]


def test_thinning_keeps_ends_and_extremes() -> None:
    """A long series keeps its first, last, highest and lowest point."""
    values = np.sin(np.arange(50_000) / 900.0)
    values[12_345], values[43_210] = 9.0, -9.0
    x, y = decimate(np.arange(50_000), values, 400)
    assert len(x) <= 402
    assert (x[0], x[-1]) == (0, 49_999)
    assert (y.max(), y.min()) == (9.0, -9.0)
    assert np.all(np.diff(x) > 0)


def test_a_plot_is_well_formed_and_named() -> None:
    """The drawing is XML with an accessible name, whatever characters the title holds."""
    plot = Plot(Size(), (0.0, 2.0), (0.0, 1.0))
    plot.line(np.array([0.0, 1.0, 2.0]), np.array([0.0, np.nan, 1.0]), "line s0")
    plot.label(1.0, 0.5, "<&>")
    root = ElementTree.fromstring(plot.svg('A "title" <&>'))
    assert root.attrib["aria-label"] == 'A "title" <&>'
    assert root.attrib["role"] == "img"
    assert root[0].text == 'A "title" <&>'


def test_a_line_is_interrupted_where_it_is_undefined() -> None:
    """NaN in the middle leaves two strokes, never a point drawn at nowhere."""
    plot = Plot(Size(left=0, right=0, top=0, bottom=0, width=100, height=100), (0.0, 4.0), (0.0, 1.0))
    plot.line(np.arange(5.0), np.array([0.0, 1.0, np.nan, 1.0, 0.0]), "line")
    text = plot.svg("t")
    assert "nan" not in text
    assert 'd="M0.0 100.0L25.0 0.0M75.0 0.0L100.0 100.0"' in text
