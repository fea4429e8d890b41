"""Figures of what a network looks at and of what it would miss, averaged over test rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.explanation import Band, Explanation, Floats, Shuffled
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import Tick, nice_ticks, number_ticks, padded, share_ticks

ACTION_STYLES = {Action.BUY: "s0", Action.SELL: "s1", Action.HOLD: "hold"}
"""How the three actions are drawn wherever they share a figure."""
_ROW = 20
"""Pixels a named line takes."""


def attention_chart(attention: Band) -> str:
    """Mean attention over the bars of the window, and how it differs from row to row."""

    def draw(size: Size) -> str:
        ago = bars_ago(len(attention.mean))
        plot = Plot(size, (ago[0] - 0.5, 0.5), (0.0, float(attention.high.max()) * 1.08 or 1.0))
        plot.y_axis(share_ticks(0.0, plot.y.high, 4))
        plot.level(1.0 / len(ago), "ideal")
        plot.x_axis(ago_ticks(len(ago)))
        plot.area(ago, attention.low, attention.high, "area")
        plot.line(ago, attention.mean, "line s0")
        plot.caption_x("bars before the decision")
        return plot.svg("Mean attention over the bars of the window, with its spread over rows")

    return both(draw, height=240, bottom=42)


def action_attention_chart(found: Floats) -> str:
    """Mean attention over the rows of each action, float64 [3, 60]."""

    def draw(size: Size) -> str:
        ago = bars_ago(found.shape[1])
        plot = Plot(size, (ago[0] - 0.5, 0.5), (0.0, float(np.nanmax(found)) * 1.08 or 1.0))
        plot.y_axis(share_ticks(0.0, plot.y.high, 4))
        plot.x_axis(ago_ticks(len(ago)))
        for action, style in ACTION_STYLES.items():
            plot.line(ago, found[action], f"line {style}")
        plot.caption_x("bars before the decision")
        return plot.svg("Mean attention over the bars of the window, one line an action")

    return both(draw, height=200, bottom=42)


def stretch_chart(lost: Sequence[Shuffled], bars: int) -> str:
    """Loss by shuffling all features in one stretch of bars after the other."""

    def draw(size: Size) -> str:
        ago = bars_ago(bars)
        edges = np.linspace(ago[0] - 0.5, 0.5, len(lost) + 1)
        bounds = [value for item in lost for value in _known(item.increase)]
        low, high = padded(min(0.0, *bounds), max(0.0, *bounds), 0.08)
        plot = Plot(size, (float(edges[0]), float(edges[-1])), (low, high))
        plot.y_axis(number_ticks(low, high, 3))
        plot.level(0.0, "rule")
        plot.x_axis(ago_ticks(bars))
        heights = np.array([item.increase.estimate for item in lost])
        plot.columns(edges[:-1] + 0.5, edges[1:] - 0.5, heights, "bar s0 faded")
        for middle, item in zip((edges[:-1] + edges[1:]) / 2, lost, strict=True):
            ends = np.array([item.increase.low, item.increase.high])
            plot.line(np.array([middle, middle]), ends, "line other")
        plot.caption_x("bars before the decision")
        return plot.svg("Increase of the log-loss when a stretch of bars comes from another row")

    return both(draw, height=170, bottom=42)


def weight_chart(names: Sequence[str], weights: Band | None, lost: Sequence[Shuffled]) -> str:
    """Selection weights at the left, losses by shuffling at the right, the largest loss at the top.

    Args:
        names: one name a line.
        weights: of the first lines; what has no weight (or None: nothing has) shows its loss only.
        lost: one entry a line.
    """
    order = np.argsort([item.increase.estimate for item in lost], kind="stable").astype(np.int64)

    def draw(size: Size) -> str:
        whole = Plot(size, (0.0, 1.0), (-0.6, len(order) - 0.4))
        for line, index in enumerate(order):
            whole.margin_label(float(line), text.shortened(names[index], 17 if size.narrow else 24))
        if weights is not None:
            whole.include(_weights(panel(size, 0), weights, order))
        whole.include(_losses(panel(size, 1 if weights is not None else None), lost, order))
        return whole.svg("Weight of each input and increase of the log-loss without it")

    return both(draw, height=60 + _ROW * len(order), left=150, bottom=42)


def heat_chart(values: Floats, names: Sequence[str], title: str) -> str:
    """Weights by bar and feature, float64 [60, F], the first feature at the top."""

    def draw(size: Size) -> str:
        bars, rows = values.shape
        plot = Plot(size, (-0.5, bars - 0.5), (-0.5, rows - 0.5))
        plot.cells(values[:, ::-1])
        for row, name in enumerate(reversed(names)):
            plot.margin_label(float(row), text.shortened(name, 17 if size.narrow else 24))
        ticks = ago_ticks(bars)
        plot.x_axis([Tick(value=tick.value + bars - 1, label=tick.label) for tick in ticks])
        plot.caption_x("bars before the decision")
        return plot.svg(title)

    return both(draw, height=50 + 18 * len(names), left=150, bottom=42)


def fan_chart(found: Explanation) -> str:
    """Mean quantiles of the forward return over the horizons, and the mean median of each action."""
    assert found.quantiles is not None
    assert found.quantiles_by_action is not None
    mean, by_action = _from_zero(found.quantiles), _from_zero(found.quantiles_by_action)
    ahead = np.array([0, *found.horizons], dtype=np.float64)

    def draw(size: Size) -> str:
        low, high = padded(float(mean[:, 0].min()), float(mean[:, -1].max()), 0.08)
        plot = Plot(size, (0.0, float(ahead[-1])), (low, high))
        plot.y_axis(share_ticks(low, high, 5))
        plot.level(0.0, "rule")
        plot.x_axis([Tick(value=float(h), label=str(h)) for h in (0, *found.horizons)])
        plot.area(ahead, mean[:, 0], mean[:, -1], "area")
        for action, style in ACTION_STYLES.items():
            plot.line(ahead, by_action[action, :, 1], f"line {style}")
        plot.caption_x("bars ahead")
        return plot.svg("Mean predicted quantiles of the forward return")

    return both(draw, height=220, bottom=42)


def bars_ago(bars: int) -> Floats:
    """float64 [bars]: positions of the window's bars before the decision, -59 to 0."""
    return np.arange(-bars + 1, 1, dtype=np.float64)


def ago_ticks(bars: int) -> list[Tick]:
    """Ticks of `bars_ago`."""
    return [Tick(value=value, label=text.number(value, 0)) for value in nice_ticks(1.0 - bars, 0.0, 6)]


def panel(size: Size, side: int | None) -> Size:
    """The left or right half of a picture beside its names; None takes both."""
    gap, room = 14, size.width - size.left - size.right
    half = (room - gap) // 2
    left = size.left + (half + gap if side == 1 else 0)
    width = size.left + half + size.right if side == 0 else size.width
    return Size(
        width=width, height=size.height, left=left, right=size.right, top=size.top, bottom=size.bottom
    )


def _weights(size: Size, weights: Band, order: NDArray[np.int64]) -> Plot:
    plot = Plot(size, (0.0, float(weights.high.max()) * 1.05 or 1.0), (-0.6, len(order) - 0.4))
    plot.x_axis(share_ticks(0.0, plot.x.high, 2))
    for line, index in enumerate(order):
        if index < len(weights.mean):
            plot.span(0.0, float(weights.mean[index]), float(line), 9.0, "bar s0 faded")
            ends = np.array([weights.low[index], weights.high[index]])
            plot.line(ends, np.array([line, line]), "line s0")
    plot.caption_x("weight")
    return plot


def _losses(size: Size, lost: Sequence[Shuffled], order: NDArray[np.int64]) -> Plot:
    bounds = [value for item in lost for value in _known(item.increase)]
    low, high = padded(min(0.0, *bounds), max(0.0, *bounds))
    plot = Plot(size, (low, high), (-0.6, len(order) - 0.4))
    plot.x_axis(number_ticks(low, high, 2))
    plot.tick_mark(0.0, (len(order) - 1) / 2, float(_ROW * len(order)), "rule")
    for line, index in enumerate(order):
        increase = lost[index].increase
        if np.isfinite(increase.low):
            plot.span(increase.low, increase.high, float(line), 5.0, "range")
        plot.dots(np.array([increase.estimate]), np.array([float(line)]), "dot s0", 3.2)
    plot.caption_x("log-loss" if size.narrow else "increase of the log-loss")
    return plot


def _known(increase: Interval) -> list[float]:
    return [value for value in (increase.estimate, increase.low, increase.high) if np.isfinite(value)]


def _from_zero(quantiles: Floats) -> Floats:
    """float64 [..., H, 3] -> [..., 1 + H, 3]: at the decision itself every quantile is zero."""
    now = np.zeros((*quantiles.shape[:-2], 1, quantiles.shape[-1]))
    return np.concatenate([now, quantiles], axis=-2)
