"""Bars of one figure per fold and agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantum_trader.evaluate.records import AgentJudgement, FoldFigures
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.families import Family
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import Tick, number_ticks, padded, share_ticks

_BARS = 100
"""Bars of a chart beyond which they get too thin to be told apart."""

Measure = Callable[[FoldFigures], float]


def fold_chart(
    series: Sequence[tuple[Family, str]], measure: Measure, title: str, *, as_percent: bool
) -> str:
    """Grouped bars: the median over an agent's seeds, with a thin line from the lowest to the highest.

    Args:
        series: pairs of an agent with its seeds and a style; what does not fit is left out.
        measure: what is drawn of a fold.
        title: says what the chart shows.
        as_percent: whether the measure is a fraction.
    """
    folds = sorted({entry.fold for family, _ in series for entry in family.first.folds})
    shown = series[: max(1, _BARS // max(len(folds), 1))]
    spans = [[family.span(_in_fold(fold, measure)) for fold in folds] for family, _ in shown]
    known = [value for row in spans for span in row for value in span if np.isfinite(value)]
    if not known:
        return ""

    def draw(size: Size) -> str:
        low, high = padded(min(0.0, *known), max(0.0, *known))
        plot = Plot(size, (-0.5, len(folds) - 0.5), (low, high))
        plot.y_axis((share_ticks if as_percent else number_ticks)(low, high, 7))
        every = -(-len(folds) // (9 if size.narrow else 18))
        plot.x_axis(
            [Tick(value=float(n), label=str(fold + 1)) for n, fold in enumerate(folds) if n % every == 0]
        )
        width = 0.8 / len(shown)
        for index, ((_, style), row) in enumerate(zip(shown, spans, strict=True)):
            for place, (lowest, middle, highest) in enumerate(row):
                if np.isfinite(middle):
                    left = place - 0.4 + index * width
                    edges = np.array([left, left + width])
                    plot.columns(edges[:1], edges[1:], np.array([middle]), f"bar solid {style}")
                    if highest > lowest:
                        at = np.full(2, left + width / 2)
                        plot.line(at, np.array([lowest, highest]), "line reach")
        plot.level(0.0, "rule")
        plot.caption_x("fold")
        return plot.svg(title)

    return both(draw, height=230, bottom=42)


def _in_fold(fold: int, measure: Measure) -> Callable[[AgentJudgement], float]:
    def value(agent: AgentJudgement) -> float:
        return next((measure(entry) for entry in agent.folds if entry.fold == fold), float("nan"))

    return value
