"""Figures of one prediction: the bars it was made on, what it says of those ahead, what it hangs on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from quantum_trader.evaluate.explanation import Effect, Floats, Prediction
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.data import PriceWindow
from quantum_trader.evaluate.report.explain_charts import ago_ticks, bars_ago, panel
from quantum_trader.evaluate.report.svg import SHADES, Plot, Size
from quantum_trader.evaluate.report.ticks import Tick, nice_ticks, padded, share_ticks

_ROW = 20
"""Pixels a named line takes."""


def price_chart(found: Prediction, seen: PriceWindow) -> str:
    """Candles shaded by the attention they get, the predicted quantiles, and the bars that came after."""
    ohlc = np.stack([seen.open, seen.high, seen.low, seen.close], axis=1)
    x = np.arange(len(ohlc), dtype=np.float64) - seen.decision
    ahead = np.array([0, *found.horizons], dtype=np.float64)
    fan = _fan(found, float(seen.close[seen.decision]))

    def draw(size: Size) -> str:
        low, high = float(ohlc[:, 2].min()), float(ohlc[:, 1].max())
        if fan is not None:
            low, high = min(low, float(fan.min())), max(high, float(fan.max()))
        plot = Plot(size, (float(x[0]) - 0.5, float(ahead[-1]) + 0.5), padded(low, high, 0.06))
        digits = max(0, min(6, 2 - int(np.floor(np.log10(high - low or 1.0)))))
        ticks = nice_ticks(plot.y.low, plot.y.high, 5)
        plot.y_axis([Tick(value=value, label=text.number(value, digits)) for value in ticks])
        if found.attention is not None:
            _shade(plot, found.attention)
        bars = [*range(-50, 1, 10), *found.horizons[1:]] if not size.narrow else [-50, -25, 0, 12]
        plot.x_axis([Tick(value=float(bar), label=text.number(bar, 0)) for bar in bars])
        width = 0.62 * (size.width - size.left - size.right) / (len(x) + 1)
        plot.candles(x[: seen.decision + 1], ohlc[: seen.decision + 1], width=max(1.5, width))
        if fan is not None:
            plot.area(ahead, fan[:, 0], fan[:, -1], "area")
            plot.line(ahead, fan[:, 1], "line s0")
        plot.line(x[seen.decision :], seen.close[seen.decision :], "line other")
        plot.caption_x("bars from the decision")
        return plot.svg(f"{seen.symbol}: the bars decided on, shaded by attention, and the predicted returns")

    return both(draw, height=330, left=64, bottom=42)


def window_chart(attention: Floats) -> str:
    """Attention to each bar, float64 [60], for where the prices are not known."""

    def draw(size: Size) -> str:
        ago = bars_ago(len(attention))
        plot = Plot(size, (ago[0] - 0.5, 0.5), (0.0, float(attention.max()) * 1.08 or 1.0))
        plot.y_axis(share_ticks(0.0, plot.y.high, 4))
        plot.level(1.0 / len(attention), "ideal")
        plot.x_axis(ago_ticks(len(attention)))
        plot.columns(ago - 0.5, ago + 0.5, attention, "bar s0")
        plot.caption_x("bars before the decision")
        return plot.svg("Attention to each bar of the window")

    return both(draw, height=220, bottom=42)


def effect_chart(effects: Sequence[Effect], weights: Floats | None = None, *, ranked: bool = True) -> str:
    """What each input added to P(BUY) - P(SELL), at the left, and to P(HOLD), at the right.

    Args:
        effects: one entry a line.
        weights: float64 [n], selection weights, written behind the names, or None.
        ranked: the largest effect at the top, instead of the first entry.
    """
    sizes = [max(abs(item.direction), abs(item.hold)) for item in effects]
    order = np.argsort(sizes, kind="stable") if ranked else np.arange(len(effects))[::-1]
    reach = max(sizes) * 1.08 or 0.01

    def draw(size: Size) -> str:
        whole = Plot(size, (0.0, 1.0), (-0.6, len(order) - 0.4))
        for line, index in enumerate(order):
            weight = "" if weights is None else f" {text.percent(float(weights[index]), 0)}"
            whole.margin_label(
                float(line), text.shortened(effects[index].name, 11 if size.narrow else 21) + weight
            )
        directions = [effects[index].direction for index in order]
        holds = [effects[index].hold for index in order]
        ticks = _signed_ticks(reach, zero=not size.narrow)
        whole.include(_bars(panel(size, 0), directions, ticks, reach, "SELL ← → BUY", ("s0", "s1")))
        whole.include(_bars(panel(size, 1), holds, ticks, reach, "P(HOLD)", ("hold", "hold")))
        return whole.svg("What each input added to the answer")

    return both(draw, height=60 + _ROW * len(order), left=170, bottom=42)


def _signed_ticks(reach: float, *, zero: bool) -> list[Tick]:
    """A round value below 0.7 `reach` on either side, clear of the other panel's labels, and zero."""
    power = 10.0 ** math.floor(math.log10(0.7 * reach))
    edge = math.floor(0.7 * reach / power) * power
    values = (-edge, 0.0, edge) if zero else (-edge, edge)
    return [Tick(value=value, label=f"{value:g}".replace("-", text.MINUS)) for value in values]


def _bars(
    size: Size,
    values: Sequence[float],
    ticks: Sequence[Tick],
    reach: float,
    title: str,
    styles: tuple[str, str],
) -> Plot:
    """Lying bars from zero, in one style above it and in another below."""
    plot = Plot(size, (-reach, reach), (-0.6, len(values) - 0.4))
    plot.x_axis(ticks)
    plot.tick_mark(0.0, (len(values) - 1) / 2, float(_ROW * len(values)), "rule")
    for line, value in enumerate(values):
        plot.span(0.0, value, float(line), 11.0, f"bar {styles[value < 0]}")
    plot.caption_x(title)
    return plot


def _shade(plot: Plot, attention: Floats) -> None:
    highest = float(attention.max()) or 1.0
    for ago, weight in zip(bars_ago(len(attention)), attention, strict=True):
        # The darkest shades would hide the candles.
        plot.shade(ago - 0.5, ago + 0.5, int(np.ceil(weight / highest * (SHADES - 2) - 1e-9)))


def _fan(found: Prediction, close: float) -> Floats | None:
    """float64 [1 + H, 3]: the predicted quantiles as prices; at the decision all of them are its close."""
    if found.quantiles is None:
        return None
    start = np.zeros((1, found.quantiles.shape[1]))
    prices: Floats = close * np.exp(np.concatenate([start, found.quantiles]))
    return prices
