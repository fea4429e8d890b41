"""The section on combinatorial cross-validation: how Sharpe ratios spread over many paths through time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.data import Floats, PathSharpes
from quantum_trader.evaluate.report.html import Row, cells, figure, section, table
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import number_ticks, padded

_ROW = 64
"""Pixels the histogram of one agent takes."""
_SHOWN = 8
_BINS = 24


def path_section(paths: Sequence[PathSharpes]) -> str:
    """Histogram and table; empty without a path whose Sharpe ratio is known."""
    known = [item for item in paths if np.isfinite(item.sharpes).any()]
    if not known:
        return ""
    return section(
        "Combinatorial paths",
        figure(
            path_chart(known[:_SHOWN]),
            "Sharpe ratio by path.",
            "Combinatorial purged cross-validation: the period is cut into groups, every choice of test "
            "groups is predicted by agents fitted on the others, and the predictions are joined to paths "
            "through the whole period. Bars: paths with that yearly Sharpe ratio; upright stroke: their "
            "median. Some of the training data lie after the test, so this shows how much luck is in a "
            "Sharpe ratio and is not an estimate of what trading would have earned.",
        ),
        path_table(known),
    )


def path_chart(paths: Sequence[PathSharpes]) -> str:
    """One histogram an agent above the other, on one axis."""
    values = np.concatenate([_known(item) for item in paths])
    low, high = padded(min(0.0, float(values.min())), max(0.0, float(values.max())))
    edges = np.linspace(low, high, _BINS + 1)
    counts = [np.histogram(_known(item), edges)[0] for item in paths]
    most = max(int(found.max()) for found in counts)

    def draw(size: Size) -> str:
        plot = Plot(size, (low, high), (0.0, float(len(paths))))
        plot.x_axis(number_ticks(low, high, 4 if size.narrow else 8))
        for line, (item, found) in enumerate(zip(paths, counts, strict=True)):
            base = float(len(paths) - 1 - line)
            plot.margin_label(base + 0.3, text.shortened(item.agent, 15 if size.narrow else 20))
            used = found > 0
            heights = base + 0.85 * found[used] / most
            plot.columns(edges[:-1][used], edges[1:][used], heights, "bar s0 faded", base=base)
            plot.level(base, "grid")
            plot.tick_mark(float(np.median(_known(item))), base + 0.43, _ROW * 0.85, "needed")
        plot.tick_mark(0.0, len(paths) / 2, float(_ROW * len(paths)), "rule")
        plot.caption_x("yearly Sharpe ratio of a path")
        return plot.svg("Histogram of the Sharpe ratios over combinatorial paths, one an agent")

    return both(draw, height=52 + _ROW * len(paths), left=150, bottom=42)


def path_table(paths: Sequence[PathSharpes]) -> str:
    """Median and range of every agent's paths."""
    rows = [
        Row(
            cells=cells(
                item.agent,
                text.count(len(item.sharpes)),
                *(text.number(float(value)) for value in np.quantile(_known(item), [0.0, 0.5, 1.0])),
                text.percent(float((_known(item) < 0).mean()), 0),
            )
        )
        for item in paths
    ]
    header = ("agent", "paths", "lowest", "median", "highest", "below zero")
    return table("Paths.", "Yearly Sharpe ratios.", header, rows)


def _known(item: PathSharpes) -> Floats:
    return item.sharpes[np.isfinite(item.sharpes)]
