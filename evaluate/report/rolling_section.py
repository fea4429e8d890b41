"""Figures of the win rate over time, one an agent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.html import figure, folded
from quantum_trader.evaluate.report.rolling import RollingWinRate
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import padded, share_ticks, time_ticks


def rolling_figures(found: Sequence[RollingWinRate], styles: dict[str, str]) -> str:
    """The first agent's figure, the others on demand; empty without one."""
    shown = [item for item in found if np.isfinite(item.win_rate).any()]
    if not shown:
        return ""
    first = shown[0]
    words = (
        f"Share of the trades closed in the last {text.count(first.window_bars)} bars that made a profit "
        f"after costs, with a {text.percent(first.level, 0)} interval at each place; dashed: the win "
        "rate at which the average win and loss of the same trades cancel. The agent earned where "
        "its line lies above the dashes, and more than luck explains where the whole band does. Neighbouring "
        "points share most of their trades."
    )
    opened = figure(rolling_chart(first, styles[first.name]), f"Win rate of {first.name} over time.", words)
    others = "".join(
        figure(
            rolling_chart(item, styles[item.name]),
            f"{item.name}.",
            f"Last {text.count(item.window_bars)} bars.",
        )
        for item in shown[1:]
    )
    return opened + folded(f"The same for {text.listing([item.name for item in shown[1:]])}", others)


def rolling_chart(found: RollingWinRate, style: str) -> str:
    """Line, band and break-even of one agent."""
    values = np.concatenate([found.win_rate, found.low, found.high, found.break_even])
    known = values[np.isfinite(values)]

    def draw(size: Size) -> str:
        low, high = padded(float(known.min()), float(known.max()))
        start, stop = float(found.timestamps[0]), float(found.timestamps[-1])
        plot = Plot(size, (start, max(stop, start + 1.0)), (low, high))
        plot.y_axis(share_ticks(low, high, 5))
        plot.x_axis(time_ticks(start, stop, 3 if size.narrow else 8))
        for rows in _stretches(np.isfinite(found.low) & np.isfinite(found.high)):
            plot.area(found.timestamps[rows], found.low[rows], found.high[rows], f"band {style}")
        plot.line(found.timestamps, found.break_even, "line even")
        plot.line(found.timestamps, found.win_rate, f"line {style}")
        return plot.svg(f"Win rate of {found.name} over time, its interval and its break-even")

    return both(draw, height=230)


def _stretches(known: np.ndarray) -> list[slice]:
    """The runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
