"""A small chart toolkit: inline SVG whose colours come from the page's style sheet, no script, no network.

A `Plot` maps data to pixels and collects marks; classes, never colours, are written into the marks, so one
drawing serves the light scheme, the dark one and print. Long series are thinned before they are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate.report.ticks import Tick, decimate

Array = NDArray[Any]
Floats = NDArray[np.float64]

SHADES = 8
"""Steps of a heat map; the style sheet has a class h1 to h8 for each."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Linear map from [low, high] in data to [start, stop] in pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, values: Array | float) -> Floats:
        span = self.high - self.low or 1.0
        pixels: Floats = self.start + (np.asarray(values, dtype=np.float64) - self.low) / span * (
            self.stop - self.start
        )
        return pixels


@dataclass(frozen=True, kw_only=True)
class Size:
    """Outer size and margins of a plot in CSS pixels."""

    width: int = 720
    height: int = 300
    left: int = 54
    right: int = 12
    top: int = 10
    bottom: int = 28

    @property
    def narrow(self) -> bool:
        """Whether this is the drawing for a phone."""
        return self.width < 500


class Plot:
    """One chart: create it with its ranges, add axes and marks, then ask for its `svg`."""

    def __init__(self, size: Size, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.size = size
        self.x = Scale(low=x[0], high=x[1], start=size.left, stop=size.width - size.right)
        self.y = Scale(low=y[0], high=y[1], start=size.height - size.bottom, stop=size.top)
        self._marks: list[str] = []

    def y_axis(self, ticks: Sequence[Tick]) -> None:
        """Horizontal grid lines with labels at the left."""
        for tick in ticks:
            at, right = float(self.y(tick.value)), self.size.width - self.size.right
            self._add(f'<path class="grid" d="M{self.size.left} {at:.1f}H{right}"/>')
            self._text(self.size.left - 6, at + 4, tick.label, "tick end")

    def x_axis(self, ticks: Sequence[Tick]) -> None:
        """The base line with ticks and labels below."""
        base, right = self.size.height - self.size.bottom, self.size.width - self.size.right
        self._add(f'<path class="axis" d="M{self.size.left} {base}H{right}"/>')
        for tick in ticks:
            at = float(self.x(tick.value))
            self._add(f'<path class="axis" d="M{at:.1f} {base}v4"/>')
            # A centred label at either edge would be cut off by the border of the picture.
            room = 4.0 * len(tick.label)
            self._text(min(max(at, room), self.size.width - room), base + 17, tick.label, "tick mid")

    def level(self, value: float, style: str = "rule", label: str = "") -> None:
        """A horizontal line across the plot, e.g. break-even."""
        at, right = float(self.y(value)), self.size.width - self.size.right
        self._add(f'<path class="{style}" d="M{self.size.left} {at:.1f}H{right}"/>')
        if label:
            self._text(right, at - 4, label, "tick end")

    def line(self, x: Array, y: Array, style: str, points: int = 600) -> None:
        """A polyline; points that are not finite interrupt it."""
        self._path(*decimate(x, y, points), style)

    def step(self, x: Array, y: Array, style: str) -> None:
        """A line that keeps each value until the next."""
        xs, ys = (
            np.repeat(np.asarray(x, dtype=np.float64), 2)[1:],
            np.repeat(np.asarray(y, np.float64), 2)[:-1],
        )
        self._path(xs, ys, style)

    def area(self, x: Array, low: Array, high: Array, style: str) -> None:
        """The surface between two lines, float [n] each, all finite."""
        there = zip(self.x(x), self.y(high), strict=True)
        back = zip(self.x(x)[::-1], self.y(low)[::-1], strict=True)
        corners = "L".join(f"{a:.1f} {b:.1f}" for a, b in (*there, *back))
        self._add(f'<path class="{style}" d="M{corners}z"/>')

    def cells(self, values: Array) -> None:
        """A heat map of float [columns, rows], one cell a unit, (0, 0) at the data's (-0.5, -0.5).

        Values from 0 to the largest are drawn in `SHADES` steps; one path a step keeps the page small.
        """
        highest = float(values.max()) or 1.0
        levels = np.ceil(values / highest * SHADES - 1e-9).astype(np.int64)
        x, y = self.x(np.arange(len(values) + 1) - 0.5), self.y(np.arange(values.shape[1] + 1) - 0.5)
        for level in range(1, SHADES + 1):
            marks = "".join(
                f"M{x[a]:.1f} {y[b]:.1f}H{x[a + 1]:.1f}V{y[b + 1]:.1f}H{x[a]:.1f}z"
                for a, b in zip(*np.nonzero(levels == level), strict=True)
            )
            if marks:
                self._add(f'<path class="heat h{level}" d="{marks}"/>')

    def shade(self, left: float, right: float, level: int) -> None:
        """A stretch of the x axis shaded over the whole height, `level` from 0 (not at all) to `SHADES`."""
        if level > 0:
            a, b = float(self.x(left)), float(self.x(right))
            height = self.size.height - self.size.bottom - self.size.top
            self._add(
                f'<rect class="heat h{level}" x="{a:.1f}" y="{self.size.top}" width="{b - a:.1f}" '
                f'height="{height}"/>'
            )

    def columns(self, left: Array, right: Array, height: Array, style: str, base: float = 0.0) -> None:
        """Upright bars from `base`, each between its own left and right."""
        foot = float(self.y(base))
        for a, b, top in zip(self.x(left), self.x(right), self.y(height), strict=True):
            upper = min(top, foot)
            self._add(
                f'<rect class="{style}" x="{a + 0.5:.1f}" y="{upper:.1f}" '
                f'width="{max(b - a - 1, 0.5):.1f}" height="{abs(foot - top):.1f}"/>'
            )

    def span(self, start: float, stop: float, centre: float, thickness: float, style: str) -> None:
        """A lying bar from `start` to `stop` in x, `thickness` pixels thick."""
        a, b = sorted((float(self.x(start)), float(self.x(stop))))
        at = float(self.y(centre)) - thickness / 2
        self._add(
            f'<rect class="{style}" x="{a:.1f}" y="{at:.1f}" width="{b - a:.1f}" height="{thickness:.1f}"/>'
        )

    def dots(self, x: Array, y: Array, style: str, radius: float = 3.0) -> None:
        """Filled circles."""
        for a, b in zip(self.x(x), self.y(y), strict=True):
            self._add(f'<circle class="{style}" cx="{a:.1f}" cy="{b:.1f}" r="{radius:g}"/>')

    def triangles(self, x: Array, y: Array, style: str, *, up: bool, size: float = 4.5) -> None:
        """Triangles whose tip touches the point, pointing up or down."""
        way = 1 if up else -1
        for a, b in zip(self.x(x), self.y(y), strict=True):
            self._add(
                f'<path class="{style}" d="M{a:.1f} {b:.1f}l{size} {way * size * 1.6:.1f}h{-2 * size}z"/>'
            )

    def tick_mark(self, x: float, y: float, height: float, style: str) -> None:
        """A short upright stroke, `height` pixels high, centred on a point."""
        at, middle = float(self.x(x)), float(self.y(y))
        self._add(f'<path class="{style}" d="M{at:.1f} {middle - height / 2:.1f}v{height:.1f}"/>')

    def candles(self, x: Array, ohlc: Array, width: float) -> None:
        """Candles: `x` float [n], `ohlc` float [n, 4], `width` in pixels; rising ones are hollow."""
        for at, (opened, high, low, close) in zip(self.x(x), self.y(ohlc), strict=True):
            style = "rise" if close <= opened else "fall"
            body, height = min(opened, close), max(abs(opened - close), 0.8)
            self._add(
                f'<path class="{style}" d="M{at:.1f} {high:.1f}V{body:.1f}'
                f"M{at:.1f} {body + height:.1f}V{low:.1f}"
                f'M{at - width / 2:.1f} {body:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z"/>'
            )

    def label(self, x: float, y: float, text: str, style: str = "tick") -> None:
        """Text at a point of the data."""
        self._text(float(self.x(x)), float(self.y(y)), text, style)

    def margin_label(self, y: float, text: str) -> None:
        """Text in the left margin beside a point of the y axis."""
        self._text(self.size.left - 8, float(self.y(y)) + 4, text, "tick end")

    def caption_x(self, text: str) -> None:
        """What the x axis measures, below its labels."""
        middle = (self.size.left + self.size.width - self.size.right) / 2
        self._text(middle, self.size.height - 4, text, "tick mid")

    def include(self, other: Plot) -> None:
        """Draw another plot's marks into this picture, where its own size puts them."""
        self._marks += other._marks

    def svg(self, title: str) -> str:
        """The finished element; `title` says what the chart shows to those who cannot see it."""
        width, height, name = self.size.width, self.size.height, escape(title, quote=True)
        style = "narrow" if self.size.narrow else "wide"
        return (
            f'<svg class="{style}" role="img" aria-label="{name}" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}"><title>{name}</title>{"".join(self._marks)}</svg>'
        )

    def _path(self, x: Array, y: Array, style: str) -> None:
        parts, pen = [], "M"
        for a, b in zip(self.x(x), self.y(y), strict=True):
            if math.isfinite(a) and math.isfinite(b):
                parts.append(f"{pen}{a:.1f} {b:.1f}")
                pen = "L"
            else:
                pen = "M"
        if parts:
            self._add(f'<path class="{style}" d="{"".join(parts)}"/>')

    def _text(self, x: float, y: float, text: str, style: str) -> None:
        self._add(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def _add(self, mark: str) -> None:
        self._marks.append(mark)
