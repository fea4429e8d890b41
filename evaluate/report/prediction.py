"""One prediction explained: as a page of its own, and as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.files import write_text
from quantum_trader.evaluate.explanation import Effect, Floats, Prediction, effective_number
from quantum_trader.evaluate.report import format as text, prediction_charts as charts
from quantum_trader.evaluate.report.data import PriceWindow
from quantum_trader.evaluate.report.explain_charts import heat_chart
from quantum_trader.evaluate.report.html import document, figure, paragraph, section

_EFFECT = (
    "The answer, less what the agent would have said without the input. Left: what the input added to "
    "P(BUY) − P(SELL). Right: what it added to P(HOLD)."
)


def write_prediction(path: Path, found: Prediction, seen: PriceWindow | None = None, note: str = "") -> None:
    """Write `prediction_page` to `path`, whole or not at all."""
    write_text(path, prediction_page(found, seen, note))


def prediction_page(found: Prediction, seen: PriceWindow | None = None, note: str = "") -> str:
    """A whole HTML page on one prediction: no script, no network, no other file.

    Args:
        found: what `explain_one` or `explain_live` says.
        seen: the bars it was made on; without them attention is drawn alone.
        note: a sentence below the heading, e.g. which split the bar belongs to.
    """
    title = headline(found)
    head = f"<header><h1>{escape(title)}</h1>{paragraph(answer(found))}{paragraph(note, 'note')}</header>"
    return document(title, head + _window(found, seen) + _effects(found) + _steps(found))


def prediction_text(found: Prediction) -> str:
    """The main numbers, one fact a line."""
    lines = [headline(found), answer(found), "", *_quantile_lines(found), *_attention_lines(found)]
    lines += [f"{'what it added to':22}{'weight':>9}{'P(BUY)-P(SELL)':>17}{'P(HOLD)':>10}"]
    lines += _effect_lines(found.effects("feature"), found.importances)
    lines += ["", *_effect_lines(found.effects("static"), found.static_importances)]
    lines += ["", *_effect_lines(found.effects("part"), None)]
    return "\n".join(lines)


def headline(found: Prediction) -> str:
    """Symbol, moment and agent."""
    moment = f", {text.minute(found.timestamp)} UTC" if found.timestamp is not None else ""
    return f"{found.symbol or 'one observation'}{moment}: {found.agent} says {found.action.name}"


def answer(found: Prediction) -> str:
    """The probabilities and what they come to."""
    shares = ", ".join(f"P({a.name}) {text.percent(float(found.probabilities[a]))}" for a in Action)
    limit = (
        f"HOLD from P(HOLD) {text.percent(found.hold_threshold)} on"
        if found.hold_threshold <= 1
        else "never HOLD by a threshold"
    )
    return f"{shares}; directional confidence {found.confidence:.3f}; {limit}."


def _window(found: Prediction, seen: PriceWindow | None) -> str:
    if seen is not None:
        shown = figure(
            charts.price_chart(found, seen),
            "The window.",
            "Shading: attention to the bar, the darker the more. To its right the predicted 10 %, 50 % and "
            "90 % quantiles of the price; grey: the closes that came, which the agent did not know.",
        )
    elif found.attention is not None:
        shown = figure(
            charts.window_chart(found.attention), "Attention.", "Weight of each bar of the window."
        )
    else:
        return ""
    return section("What it saw", shown)


def _effects(found: Prediction) -> str:
    weighed = " Percent: selection weight." if found.importances is not None else ""
    return section(
        "What it hangs on",
        paragraph(_EFFECT),
        figure(
            charts.effect_chart(found.effects("feature"), found.importances),
            "Features.",
            f"Each at its training median in all bars of the window.{weighed}",
        ),
        figure(
            charts.effect_chart(found.effects("bars"), ranked=False),
            "Bars.",
            "All features of ten bars at their training median.",
        ),
        figure(
            charts.effect_chart(found.effects("static"), found.static_importances),
            "Static numbers.",
            f"Each at 0, its neutral value.{weighed}",
        ),
        figure(charts.effect_chart(found.effects("part")), "Calendar.", "Averaged over the 24 hours around."),
    )


def _steps(found: Prediction) -> str:
    if found.steps is None:
        return ""
    return section(
        "What it passed on",
        figure(
            heat_chart(found.steps, found.feature_names, "Selection weight of each feature in each bar"),
            "Selection weights.",
            f"Bar by bar; darkest: {text.percent(float(found.steps.max()))} of the bar. A weight says what "
            "the network passed on, not what its answer hangs on.",
        ),
    )


def _quantile_lines(found: Prediction) -> list[str]:
    if found.quantiles is None:
        return []
    lines = [f"{'log return over bars':22}{'Q10':>9}{'Q50':>9}{'Q90':>9}"]
    for ahead, values in zip(found.horizons, found.quantiles, strict=True):
        lines.append(f"  {ahead:<20}" + "".join(f"{value:+9.3%}" for value in values))
    return [*lines, ""]


def _attention_lines(found: Prediction) -> list[str]:
    if found.attention is None:
        return []
    bars = len(found.attention)
    top = np.argsort(-found.attention)[:3]
    named = ", ".join(f"{bars - 1 - index} bars ago {found.attention[index]:.1%}" for index in top)
    spread = float(effective_number(found.attention))
    return [f"attention as if over {spread:.0f} equal bars of {bars}; most: {named}", ""]


def _effect_lines(effects: Sequence[Effect], weights: Floats | None) -> list[str]:
    """One line an input, the largest effect first."""
    sizes = [max(abs(item.direction), abs(item.hold)) for item in effects]
    lines = []
    for index in sorted(range(len(effects)), key=lambda place: -sizes[place]):
        item = effects[index]
        weight = f"{weights[index]:9.1%}" if weights is not None else f"{'-':>9}"
        lines.append(f"  {item.name:20}{weight}{item.direction:+17.4f}{item.hold:+10.4f}")
    return lines
