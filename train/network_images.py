"""Pictures for the training log, drawn by matplotlib's objects alone: no pyplot and no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from quantum_trader.agents.measures import directional_rows, reliability_curve
from quantum_trader.agents.validation_report import Reliability, ReliabilityBin

Floats32 = NDArray[np.float32]
Image = NDArray[np.uint8]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""float64 [B] stated, float64 [B] met."""

_TOP, _DIRECTION = "most probable action", "direction, label not HOLD"
_LEAST = {_TOP: 1 / 3, _DIRECTION: 0.5}
"""The lowest value that each can have."""
_INK = ("#1f5fa8", "#c2571a")
_HISTOGRAM_BINS = 50
_MARGINS = {"left": 0.09, "right": 0.98, "top": 0.93, "bottom": 0.12}
"""Fixed, because a layout that is worked out draws everything twice."""


def reliability_image(probabilities: Floats32, labels: NDArray[np.integer]) -> Image:
    """Stated against met frequency, and below how often each was stated.

    Args:
        probabilities: float32 [N, 3], at least one row.
        labels: integers [N], `Action` values.

    Returns:
        uint8 [height, width, 3]: on the left the most probable action, on the right the likelier of BUY and
        SELL on rows whose label is not HOLD.
    """
    figure = Figure(figsize=(8.0, 4.8), dpi=80)
    grid = figure.subplots(2, 2, squeeze=False, gridspec_kw={"height_ratios": (3, 1), **_MARGINS})
    top = probabilities.max(axis=1)
    right, confidence = directional_rows(labels, probabilities)
    sides = ((_TOP, top, probabilities.argmax(axis=1) == labels), (_DIRECTION, confidence, right))
    for column, (title, stated, correct) in enumerate(sides):
        above, below = grid[0, column], grid[1, column]
        if len(stated):
            curve = reliability_curve(stated, correct)
            end = _end(stated)
            _reliability(above, title, end, {"": (curve.confidence, curve.accuracy)})
            below.hist(stated, bins=_HISTOGRAM_BINS, range=(_LEAST[title], end), color=_INK[0])
            below.set_xlim(_LEAST[title], end)
        below.set_xlabel("stated")
    grid[0, 0].set_ylabel("met")
    grid[1, 0].set_ylabel("rows")
    return _drawn(figure)


def calibration_image(before: Reliability, after: Reliability) -> Image:
    """Without and with the temperature, uint8 [height, width, 3]; sides as in `reliability_image`."""
    figure = Figure(figsize=(8.0, 4.0), dpi=80)
    left, right = figure.subplots(1, 2, gridspec_kw=_MARGINS)
    sides = (
        (left, _TOP, {"without temperature": before.top, "with temperature": after.top}),
        (right, _DIRECTION, {"without temperature": before.direction, "with temperature": after.direction}),
    )
    for axes, title, bins in sides:
        curves = {name: _columns(part) for name, part in bins.items() if part}
        if curves:
            end = _end(np.concatenate([stated for stated, _ in curves.values()]))
            _reliability(axes, title, end, curves)
            axes.legend(fontsize=8, frameon=False)
        axes.set_xlabel("stated")
    left.set_ylabel("met")
    return _drawn(figure)


def importance_image(weights: Floats32, names: Sequence[str]) -> Image:
    """Heat map of mean feature weights bar by bar.

    Args:
        weights: float32 [60, 14], oldest bar first.
        names: of the 14 features.

    Returns:
        uint8 [height, width, 3], the decision bar at the right.
    """
    bars, features = weights.shape
    figure = Figure(figsize=(8.0, 0.8 + 0.25 * features), dpi=80)
    axes = figure.subplots(gridspec_kw=_MARGINS | {"left": 0.2, "right": 0.95, "top": 0.98})
    ends = (-bars + 0.5, 0.5, features - 0.5, -0.5)
    shown = axes.imshow(weights.T, aspect="auto", interpolation="nearest", cmap="viridis", extent=ends)
    axes.set_yticks(range(features), labels=list(names), fontsize=8)
    axes.set_xlabel("bars before the decision")
    figure.colorbar(shown, ax=axes, label="mean weight", pad=0.02)
    return _drawn(figure)


def _reliability(axes: Axes, title: str, end: float, curves: Mapping[str, Curve]) -> None:
    """Curves of stated and met frequency beside the line on which they would be the same."""
    axes.axline((0.0, 0.0), slope=1.0, color="#999999", linewidth=0.8, linestyle="--")
    for ink, (name, (stated, met)) in zip(_INK, curves.items(), strict=False):
        axes.plot(stated, met, color=ink, marker="o", markersize=3.5, linewidth=1.2, label=name)
    every = np.concatenate([met for _, met in curves.values()])
    low, high = min(_LEAST[title], float(every.min())), max(end, float(every.max()))
    axes.set_title(title, fontsize=9)
    axes.set_xlim(_LEAST[title], end)
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))


def _columns(bins: Sequence[ReliabilityBin]) -> Curve:
    return np.array([item.stated for item in bins]), np.array([item.met for item in bins])


def _end(stated: NDArray[np.floating]) -> float:
    """Where the axis of confidence ends: past all but the rarest values."""
    return min(1.0, float(np.quantile(stated, 0.999)) + 0.02)


def _drawn(figure: Figure) -> Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(pixels[..., :3])
