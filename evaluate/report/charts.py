"""The figures of the report, each drawn twice: wide for a desk and print, narrow for a phone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import trading_metrics
from quantum_trader.evaluate.records import AgentJudgement
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.band import EquityBand
from quantum_trader.evaluate.report.data import (
    EquityCurve,
    Floats,
    NamedCoverage,
    NamedReliability,
    SignalCandles,
)
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.ticks import (
    Tick,
    bar_ticks,
    nice_ticks,
    padded,
    percent_ticks,
    share_ticks,
    time_ticks,
)

_PHONE_WIDTH = 360
_SMALLEST_SHARE = 0.003
"""Coverage below which the accuracy of a handful of rows is noise and is not drawn."""
_BARS_WIDE, _BARS_NARROW = 120, 60
"""Candles of the still picture."""


def both(draw: Callable[[Size], str], *, height: int = 300, left: int = 54, bottom: int = 28) -> str:
    """The same chart in both sizes; the style sheet shows one of them."""
    wide = Size(height=height, left=left, bottom=bottom)
    phone_height = min(height, max(230, round(height * 0.85)))
    narrow = Size(width=_PHONE_WIDTH, height=phone_height, left=min(left, 126), right=8, bottom=bottom)
    return draw(wide) + draw(narrow)


def equity_chart(
    curves: Sequence[EquityCurve], styles: dict[str, str], bands: Sequence[EquityBand] = ()
) -> str:
    """Net profit of every agent over time, in percent of the initial balance."""

    def draw(size: Size) -> str:
        profits = [(curve.equity / curve.equity[0] - 1) * 100 for curve in curves]
        start, stop = time_range(curves)
        low = min(float(profit.min()) for profit in profits)
        high = max(float(profit.max()) for profit in profits)
        # A band far wider than the curves would squeeze them flat: it may take as much room again.
        room = high - low
        for band in bands:
            low = max(min(low, (float(band.low.min()) - 1) * 100), low - room / 2)
            high = min(max(high, (float(band.high.max()) - 1) * 100), high + room / 2)
        plot = Plot(size, (start, stop), padded(low, high))
        plot.y_axis(percent_ticks(plot.y.low, plot.y.high, signed=True))
        for band in bands:
            lower, upper = (np.clip((edge - 1) * 100, low, high) for edge in (band.low, band.high))
            plot.area(band.timestamps, lower, upper, f"band {styles[band.name]}")
        plot.level(0.0, "rule")
        plot.x_axis(time_ticks(start, stop, 3 if size.narrow else 8))
        for curve, profit in zip(curves, profits, strict=True):
            plot.line(curve.timestamps, profit, f"line {styles[curve.name]}", _points(size, len(curves)))
        return plot.svg("Net profit over the test period, one line an agent")

    return both(draw, height=340)


def drawdown_chart(curves: Sequence[EquityCurve], styles: dict[str, str]) -> str:
    """Loss since the highest equity so far."""

    def draw(size: Size) -> str:
        losses = [-trading_metrics.drawdowns(curve.equity) * 100 for curve in curves]
        start, stop = time_range(curves)
        plot = Plot(size, (start, stop), (min(-0.1, *(float(loss.min()) for loss in losses)) * 1.05, 0.0))
        plot.y_axis(percent_ticks(plot.y.low, 0.0, signed=True, wanted=4))
        plot.x_axis(time_ticks(start, stop, 3 if size.narrow else 8))
        for curve, loss in zip(curves, losses, strict=True):
            plot.line(curve.timestamps, loss, f"line {styles[curve.name]}", _points(size, len(curves)))
        return plot.svg("Drawdown over the test period, one line an agent")

    return both(draw, height=220)


def reliability_chart(curves: Sequence[NamedReliability], styles: dict[str, str]) -> str:
    """Stated against observed directional confidence, with a histogram of the stated one below."""

    def draw(size: Size) -> str:
        right = _confidence_end(curves)
        met = np.concatenate([item.curve.accuracy for item in curves])
        low, high = min(0.48, float(met.min())), max(0.55, float(met.max()))
        plot = Plot(size, (0.5, right), padded(low, high))
        plot.y_axis(share_ticks(plot.y.low, plot.y.high, 5))
        plot.x_axis(share_ticks(0.5, right, 4 if size.narrow else 8))
        diagonal = np.array([0.5, min(right, plot.y.high)])
        plot.line(diagonal, diagonal, "ideal")
        for item in curves:
            plot.line(item.curve.confidence, item.curve.accuracy, f"line {styles[item.name]}")
            plot.dots(item.curve.confidence, item.curve.accuracy, f"dot {styles[item.name]}", 2.6)
        plot.caption_x("stated directional confidence")
        return plot.svg("Reliability: share that was right against stated directional confidence")

    return both(draw, height=330, bottom=42)


def histogram_chart(curves: Sequence[NamedReliability], styles: dict[str, str]) -> str:
    """How often each confidence was stated, one outline an agent."""

    def draw(size: Size) -> str:
        edges = np.linspace(0.5, 1.0, len(curves[0].histogram) + 1)
        right = _confidence_end(curves)
        highest = max(float(item.histogram.max()) for item in curves)
        plot = Plot(size, (0.5, right), (0.0, highest * 1.08))
        plot.y_axis(share_ticks(0.0, plot.y.high, 3))
        plot.x_axis(share_ticks(0.5, right, 4 if size.narrow else 8))
        for item in curves:
            closed = np.concatenate([item.histogram, item.histogram[-1:]])
            shown = edges <= right + 1e-9
            plot.step(edges[shown], closed[shown], f"line {styles[item.name]}")
        return plot.svg("Histogram of stated directional confidence")

    return both(draw, height=150)


def coverage_chart(curves: Sequence[NamedCoverage], styles: dict[str, str]) -> str:
    """Direction accuracy on the most confident share of rows."""

    def draw(size: Size) -> str:
        drawn = [(item, item.curve.coverage >= _SMALLEST_SHARE) for item in curves]
        values = np.concatenate([item.curve.accuracy[rows] for item, rows in drawn])
        low, high = min(0.48, float(values.min())), max(0.55, float(values.max()))
        plot = Plot(size, (0.0, 1.0), padded(low, high))
        plot.y_axis(share_ticks(plot.y.low, plot.y.high, 5))
        plot.level(0.5, "rule")
        plot.x_axis([Tick(value=v, label=text.percent(v, 0)) for v in (0.0, 0.25, 0.5, 0.75, 1.0)])
        for item, rows in drawn:
            plot.line(item.curve.coverage[rows], item.curve.accuracy[rows], f"line {styles[item.name]}")
        plot.caption_x("share of rows answered, most confident first")
        return plot.svg("Direction accuracy against coverage")

    return both(draw, height=260, bottom=42)


def candle_chart(data: SignalCandles) -> str:
    """The last candles with the BUY and SELL signals decided at their close."""

    def draw(size: Size) -> str:
        shown = slice(-_BARS_NARROW if size.narrow else -_BARS_WIDE, None)
        ohlc = np.stack([data.open, data.high, data.low, data.close], axis=1)[shown]
        actions, moments = data.actions[shown], data.timestamps[shown]
        # Bars are drawn side by side, so that a weekend leaves no hole; the axis names the moments.
        x = np.arange(len(ohlc), dtype=np.float64)
        room = float(ohlc[:, 1].max() - ohlc[:, 2].min()) or 1.0
        plot = Plot(size, (-1.0, float(len(x))), padded(ohlc[:, 2].min(), ohlc[:, 1].max(), 0.08))
        digits = max(0, min(6, 2 - int(np.floor(np.log10(room)))))
        ticks = nice_ticks(plot.y.low, plot.y.high, 5)
        plot.y_axis([Tick(value=value, label=text.number(value, digits)) for value in ticks])
        plot.x_axis(bar_ticks(moments, 2 if size.narrow else 6))
        plot.candles(x, ohlc, width=max(1.5, 0.62 * (size.width - size.left - size.right) / len(x)))
        buys, sells = actions == Action.BUY, actions == Action.SELL
        plot.triangles(x[buys], ohlc[buys, 2] - room * 0.015, "buy", up=True)
        plot.triangles(x[sells], ohlc[sells, 1] + room * 0.015, "sell", up=False)
        return plot.svg(f"{data.symbol}: candles with the BUY and SELL signals of {data.agent}")

    return both(draw, height=330, left=64)


def win_rate_chart(agents: Sequence[AgentJudgement]) -> str:
    """Win rate with its interval beside the win rate that would break even."""

    def draw(size: Size) -> str:
        rows = list(reversed(agents))
        bounds = [value for agent in rows for value in _win_rate_values(agent) if np.isfinite(value)]
        plot = Plot(size, padded(min(bounds), max(bounds)), (-0.6, len(rows) - 0.4))
        plot.x_axis(share_ticks(plot.x.low, plot.x.high, 4 if size.narrow else 6))
        for index, agent in enumerate(rows):
            at = np.array([float(index)])
            plot.margin_label(float(index), text.shortened(agent.name, 17 if size.narrow else 22))
            if np.isfinite(agent.win_rate.low):
                plot.span(agent.win_rate.low, agent.win_rate.high, float(index), 5.0, "range")
            plot.dots(np.array([agent.win_rate.estimate]), at, "dot s0", 4.0)
            needed = agent.trading.break_even_win_rate
            if np.isfinite(needed):
                plot.tick_mark(needed, float(index), 9.0, "needed")
        return plot.svg("Win rate with its interval, and the win rate that would break even")

    return both(draw, height=40 + 24 * len(agents), left=150)


def confidence_histogram(confidence: Floats, bins: int = 50) -> Floats:
    """float64 [bins]: share of rows in equal steps of directional confidence from 0.5 to 1."""
    counts, _ = np.histogram(confidence, bins=bins, range=(0.5, 1.0))
    return counts / max(len(confidence), 1)


def _confidence_end(curves: Sequence[NamedReliability]) -> float:
    """Where the axis of confidence ends: past all but the rarest values."""
    edges = np.linspace(0.5, 1.0, len(curves[0].histogram) + 1)
    used = max(int(np.flatnonzero(item.histogram > 0.0005).max(initial=0)) for item in curves)
    stated = max(float(item.curve.confidence.max()) for item in curves)
    return min(1.0, max(float(edges[used + 1]), stated + 0.005, 0.55))


def _win_rate_values(agent: AgentJudgement) -> tuple[float, ...]:
    rate = agent.win_rate
    return rate.estimate, rate.low, rate.high, agent.trading.break_even_win_rate


def time_range(curves: Sequence[EquityCurve]) -> tuple[float, float]:
    """First and last moment of all curves."""
    return (
        min(float(curve.timestamps[0]) for curve in curves),
        max(float(curve.timestamps[-1]) for curve in curves),
    )


def _points(size: Size, curves: int) -> int:
    """Points a curve may take: many curves share what the page has room for, and what an eye can follow."""
    most, together = (300, 4_000) if size.narrow else (700, 10_000)
    return max(60, min(most, together // curves))
