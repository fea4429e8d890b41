"""The section on what the result hangs on: dearer or later trading, and the kind of market."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import get_args

import numpy as np

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import (
    AgentJudgement,
    Judgement,
    RegimeRow,
    SensitivityRow,
    Trend,
    Volatility,
)
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.charts import both
from quantum_trader.evaluate.report.doubts import named
from quantum_trader.evaluate.report.explain_charts import panel
from quantum_trader.evaluate.report.families import coloured, families, legend_entries, line_styles
from quantum_trader.evaluate.report.html import Row, cells, figure, folded, legend, section, table
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.report.tables import with_seeds_folded
from quantum_trader.evaluate.report.ticks import Tick, padded, share_ticks

Point = tuple[float, Interval]


def sensitivity_section(judgement: Judgement) -> str:
    """Net return at other costs and delays; empty where none was tried."""
    agents = [agent for agent in judgement.agents if agent.sensitivity]
    if not agents:
        return ""
    chart = sensitivity_chart([family.first for family in coloured(judgement)], line_styles(judgement))
    shown = [family.first.name for family in coloured(judgement) if family.first.sensitivity]
    drawn = figure(
        chart,
        "Dearer and later.",
        "Net return of the same decisions at once, twice and three times the fees and slippage (left), and "
        "with every order filled later (right). Upright lines: intervals. An edge that a bar of delay or "
        "a doubling of costs removes will not survive trading.",
        legend(legend_entries(judgement, shown)),
    )
    return section("Costs and delay", drawn if chart else "", sensitivity_table(agents))


def sensitivity_chart(agents: Sequence[AgentJudgement], styles: dict[str, str]) -> str:
    """Net return against the factor on costs, at the left, and against the delay, at the right."""
    by_cost = [(a, [(r.cost_multiplier, r.total_return) for r in _along(a, delay=0)]) for a in agents]
    by_delay = [(a, [(float(r.delay_bars), r.total_return) for r in _along(a, cost=1.0)]) for a in agents]
    panels = [
        (found, marks, title)
        for found, marks, title in (
            (_several(by_cost), "×{:g}", "costs"),
            (_several(by_delay), "{:g}", "bars late"),
        )
        if found
    ]
    if not panels:
        return ""
    values = [
        value
        for found, _, _ in panels
        for _, points in found
        for _, result in points
        for value in (result.estimate, result.low, result.high)
        if np.isfinite(value)
    ]
    low, high = padded(min(0.0, *values), max(0.0, *values))

    def draw(size: Size) -> str:
        whole = Plot(size, (0.0, 1.0), (low, high))
        whole.y_axis(share_ticks(low, high, 5))
        whole.level(0.0, "rule")
        for side, (found, marks, title) in enumerate(panels):
            area = panel(size, side if len(panels) > 1 else None)
            whole.include(_lines(area, found, styles, (low, high), marks, title))
        return whole.svg("Net return at other costs and at other delays, one line an agent")

    return both(draw, height=270, bottom=42)


def _along(
    agent: AgentJudgement, *, delay: int | None = None, cost: float | None = None
) -> list[SensitivityRow]:
    """Rows of one delay, by costs, or of one factor on costs, by delay."""
    rows = [row for row in agent.sensitivity if row.delay_bars == delay or row.cost_multiplier == cost]
    return sorted(rows, key=lambda row: (row.cost_multiplier, row.delay_bars))


def _several(
    found: list[tuple[AgentJudgement, list[Point]]],
) -> list[tuple[AgentJudgement, list[Point]]]:
    return [(agent, points) for agent, points in found if len(points) > 1]


def _lines(
    size: Size,
    found: list[tuple[AgentJudgement, list[Point]]],
    styles: dict[str, str],
    y: tuple[float, float],
    marks: str,
    title: str,
) -> Plot:
    places = sorted({at for _, points in found for at, _ in points})
    room = (places[-1] - places[0]) * 0.18
    plot = Plot(size, (places[0] - room, places[-1] + room), y)
    plot.x_axis([Tick(value=at, label=marks.format(at)) for at in places])
    step = room / max(len(found), 1)
    for index, (agent, points) in enumerate(found):
        # Side by side, so that one interval does not hide another.
        x = np.array([at for at, _ in points]) + (index - (len(found) - 1) / 2) * step
        style = styles[agent.name]
        for at, (_, result) in zip(x, points, strict=True):
            if np.isfinite(result.low) and np.isfinite(result.high):
                plot.line(np.full(2, at), np.array([result.low, result.high]), f"line thin {style}")
        y_values = np.array([result.estimate for _, result in points])
        plot.line(x, y_values, f"line {style}")
        known = np.isfinite(y_values)
        plot.dots(x[known], y_values[known], f"dot {style}", 2.8)
    plot.caption_x(title)
    return plot


def sensitivity_table(agents: Sequence[AgentJudgement]) -> str:
    """Net return of every agent in every setting."""
    found = {(row.delay_bars, row.cost_multiplier) for agent in agents for row in agent.sensitivity}
    settings = sorted(found, key=lambda setting: (setting[0] > 0, setting[0], setting[1]))

    def row(agent: AgentJudgement) -> Row:
        mine = {(entry.delay_bars, entry.cost_multiplier): entry for entry in agent.sensitivity}
        values = (_setting_cell(mine.get(setting)) for setting in settings)
        return Row(cells=cells(agent.name, *values))

    caption = (
        "Net return with its interval; × is the factor on fees and slippage, the rest the delay of orders."
    )
    header = ("agent", *(setting_name(cost, delay) for delay, cost in settings))
    return with_seeds_folded("Net return at other costs and delays.", caption, header, agents, row)


def setting_name(cost: float, delay: int) -> str:
    """E.g. "×2" or "×1, 1 bar late"."""
    late = f", {delay} {'bar' if delay == 1 else 'bars'} late" if delay else ""
    return f"×{cost:g}{late}"


def _setting_cell(entry: SensitivityRow | None) -> tuple[str, str]:
    if entry is None:
        return text.UNDEFINED, ""
    result = entry.total_return
    return text.percent(result.estimate, signed=True), text.bounds(result, signed=True)


def regime_section(judgement: Judgement) -> str:
    """What every agent earned in each kind of market; empty where it was not asked."""
    agents = [agent for agent in judgement.agents if agent.regimes]
    if not agents:
        return ""
    first = [family.first for family in families(agents)] or agents[:1]
    opened, *others = (regime_table(agent) for agent in first)
    several = named([agent.name for agent in first[1:]], "other agents")
    rest = folded(f"The same for {several}", "".join(others))
    return section("Kinds of market", _regime_overview(agents), opened, rest)


def _regime_overview(agents: Sequence[AgentJudgement]) -> str:
    found = {(row.trend, row.volatility): row.share for agent in agents for row in agent.regimes}
    kinds = [kind for kind in itertools.product(get_args(Trend), get_args(Volatility)) if kind in found]
    header = ("agent", *(f"{trend}, {volatility}" for trend, volatility in kinds))
    caption = (
        "Sum of the portfolio's log returns over the bars of each kind, with its interval. The kind is what "
        "was known when the agent decided: what the price had done before, and how much it had moved. "
        "First line: share of the bars. An agent that earns in one kind only has learnt that kind, or was "
        "lucky in it."
    )
    shares = Row(
        cells=cells("share of bars", *(text.percent(found[kind], 0) for kind in kinds)),
        style="period",
    )

    def row(agent: AgentJudgement) -> Row:
        mine = {(entry.trend, entry.volatility): entry for entry in agent.regimes}
        return Row(cells=cells(agent.name, *(_regime_cell(mine.get(kind)) for kind in kinds)))

    return with_seeds_folded("Return by kind of market.", caption, header, agents, row, first=(shares,))


def _regime_cell(entry: RegimeRow | None) -> tuple[str, str]:
    if entry is None:
        return text.UNDEFINED, ""
    found = entry.log_return
    return text.percent(found.estimate, signed=True), text.bounds(found, signed=True)


def regime_table(agent: AgentJudgement) -> str:
    """One agent in each kind of market."""
    rows = [
        Row(
            cells=cells(
                f"{row.trend}, {row.volatility}",
                text.percent(row.share, 0),
                (
                    text.percent(row.log_return.estimate, signed=True),
                    text.bounds(row.log_return, signed=True),
                ),
                text.count(row.trades),
                text.percent(row.win_rate),
                text.UNDEFINED if row.direction_accuracy is None else text.percent(row.direction_accuracy),
            )
        )
        for row in agent.regimes
    ]
    header = ("kind of market", "share of bars", "log return", "trades", "win rate", "direction")
    return table(f"{agent.name}.", "Trades and win rate: of those entered on these bars.", header, rows)
