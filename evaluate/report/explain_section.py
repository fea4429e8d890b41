"""The section of the report on what a network looks at and what it would miss."""

from __future__ import annotations

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.report import explain_charts as charts, format as text
from quantum_trader.evaluate.report.html import figure, folded, legend, paragraph, section

_SHUFFLED = "increase of the log-loss when it is shuffled, with its 95 % interval"


def explanation_section(found: Explanation) -> str:
    """Every figure that the agent has the data for."""
    return section(
        f"What {found.agent} looks at",
        paragraph(_summary(found)),
        _parts(found),
        _attention(found),
        _features(found),
        _joint(found),
        _static(found),
        _fan(found),
    )


def _summary(found: Explanation) -> str:
    counts = ", ".join(f"{text.count(found.action_rows[a])} {a.name}" for a in Action)
    sentence = f"Averages over {text.count(found.rows)} evenly spaced test rows ({counts}). "
    if found.effective_bars is not None:
        spread = found.effective_bars
        sentence += (
            f"Attention spreads as if over {text.number(float(spread.mean), 0)} equal bars of "
            f"{0 if found.attention is None else len(found.attention.mean)} "
            f"({text.number(float(spread.low), 0)} to {text.number(float(spread.high), 0)} on four rows of "
            "five). "
        )
    return (
        sentence
        + "Weights say what the network passed on, not what its answers hang on. So beside them stands "
        "what it loses when an input is shuffled, that is taken from another, random row: an interval that "
        f"reaches zero is no evidence of any use. {text.count(found.shuffled_rows)} rows, log-loss "
        f"{text.number(found.log_loss, 4)}."
    )


def _attention(found: Explanation) -> str:
    lost = found.lost("bars")
    if found.attention is None or found.attention_by_action is None:
        return ""
    shown = figure(
        charts.attention_chart(found.attention) + charts.stretch_chart(lost, len(found.attention.mean)),
        "Attention.",
        "Above: weight of each of the past bars; line: mean, surface: 10 to 90 % of the rows, dashed: even "
        f"attention. Below, all features of ten bars at a time: {_SHUFFLED}.",
    )
    if sum(rows > 0 for rows in found.action_rows) < 2:
        return shown
    styles = [(a.name, s) for a, s in charts.ACTION_STYLES.items() if found.action_rows[a]]
    return shown + figure(
        charts.action_attention_chart(found.attention_by_action),
        "Attention by action.",
        "Mean over the rows that the agent answers with each action.",
        legend(styles),
    )


def _features(found: Explanation) -> str:
    left = (
        "Left: weight in the variable selection, mean over bars (bar) and 10 to 90 % of the rows (line); "
        "all weights add up to 100 %. Right: "
        if found.importances is not None
        else "Shown: "
    )
    return figure(
        charts.weight_chart(found.feature_names, found.importances, found.lost("feature")),
        "Features.",
        f"{left}{_SHUFFLED}. Features that say the same stand in for each other.",
    )


def _joint(found: Explanation) -> str:
    if found.joint is None or found.steps is None:
        return ""
    title = "Attention to each bar times selection weight of each feature in it"
    alone = figure(
        charts.heat_chart(found.steps, found.feature_names, "Selection weight of each feature in each bar"),
        "Selection alone.",
        f"Darkest: {text.percent(float(found.steps.max()))} of the bar. Selection sees one bar at a time and "
        "not which one it is: over many rows every bar comes out alike.",
    )
    return figure(
        charts.heat_chart(found.joint, found.feature_names, title),
        "Bar by bar.",
        f"{title}, mean over rows. Darkest: {text.percent(float(found.joint.max()), 2)} of the whole; even "
        f"would be {text.percent(1 / found.joint.size, 2)}.",
    ) + folded("Selection weights without attention", alone)


def _static(found: Explanation) -> str:
    return figure(
        charts.weight_chart(found.static_names, found.static_importances, found.lost("static")),
        "Static numbers.",
        "The same for what is known beside the window.",
    )


def _parts(found: Explanation) -> str:
    lost = found.lost("part")
    return figure(
        charts.weight_chart([item.name for item in lost], None, lost),
        "Window, static numbers and calendar.",
        f"Each as a whole: {_SHUFFLED}.",
    )


def _fan(found: Explanation) -> str:
    if found.quantiles is None:
        return ""
    styles = [(a.name, s) for a, s in charts.ACTION_STYLES.items() if found.action_rows[a]]
    return figure(
        charts.fan_chart(found),
        "Predicted returns.",
        "Surface: from the mean predicted 10 % to the mean 90 % quantile of the log return. Lines: mean "
        "predicted median over the rows of each action.",
        legend(styles),
    )
