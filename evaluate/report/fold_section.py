"""The section on the folds of a walk-forward: was it one lucky stretch, or every time?"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quantum_trader.evaluate.records import AgentJudgement, FoldFigures, Judgement
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.doubts import named
from quantum_trader.evaluate.report.families import Family, coloured, families, legend_entries, line_styles
from quantum_trader.evaluate.report.fold_charts import fold_chart
from quantum_trader.evaluate.report.html import Row, cells, figure, folded, legend, section
from quantum_trader.evaluate.report.tables import with_seeds_folded

_ACTIONS = ("HOLD", "BUY", "SELL")
Confusion = tuple[tuple[int, int, int], ...]


def fold_section(judgement: Judgement) -> str:
    """Bars, table and confusion matrices by fold; empty where no agent has folds."""
    if max((len(agent.folds) for agent in judgement.agents), default=0) < 2:
        return section("Right and wrong", confusion_matrices(judgement))
    return section("Fold by fold", _bars(judgement), fold_table(judgement), confusion_matrices(judgement))


def _bars(judgement: Judgement) -> str:
    styles = line_styles(judgement)
    series = [(family, styles[family.first.name]) for family in coloured(judgement) if family.first.folds]
    hold = judgement.agent(judgement.buy_and_hold or "")
    if hold is not None and hold.folds:
        series.append((Family(name=hold.name, agents=(hold,)), "hold"))
    if not series:
        return ""
    returns = fold_chart(series, lambda entry: entry.total_return, "Net return by fold", as_percent=True)
    sharpe = fold_chart(series, lambda entry: entry.sharpe, "Sharpe ratio by fold", as_percent=False)
    key = legend(legend_entries(judgement, [agent.name for family, _ in series for agent in family.agents]))
    several = any(len(family.agents) > 1 for family, _ in series)
    seeds = " Several seeds: median, thin line from the lowest to the highest." if several else ""
    return figure(
        returns,
        "Net return by fold.",
        "Folds follow one another in time; each is traded by agents that learnt from what came before."
        f"{seeds}",
        key,
    ) + (figure(sharpe, "Sharpe ratio by fold.", "Yearly; same colours as above.") if sharpe else "")


def fold_table(judgement: Judgement) -> str:
    """Net return and Sharpe ratio of every agent in every fold."""
    agents = [agent for agent in judgement.agents if agent.folds]
    if not agents:
        return ""
    folds = {entry.fold: entry for agent in agents for entry in agent.folds}
    numbers = sorted(folds)
    periods = Row(
        cells=cells("", "", *((text.day(folds[n].start_ms), text.day(folds[n].end_ms)) for n in numbers)),
        style="period",
    )
    header = ("agent", "in profit", *(f"fold {number + 1}" for number in numbers))
    caption = (
        "Net return of the portfolio in each fold; small: yearly Sharpe ratio. First line: first and last "
        "day traded. An edge that is real shows in most folds, not in one."
    )
    return with_seeds_folded(
        "Folds.", caption, header, agents, lambda agent: _fold_row(agent, numbers), first=(periods,)
    )


def _fold_row(agent: AgentJudgement, numbers: Sequence[int]) -> Row:
    mine = {entry.fold: entry for entry in agent.folds}
    won = sum(entry.total_return > 0 for entry in agent.folds)
    values = (_fold_cell(mine.get(number)) for number in numbers)
    return Row(cells=cells(agent.name, f"{won} of {len(agent.folds)}", *values))


def _fold_cell(entry: FoldFigures | None) -> tuple[str, str]:
    if entry is None:
        return text.UNDEFINED, ""
    return text.percent(entry.total_return, signed=True), text.number(entry.sharpe)


def confusion_matrices(judgement: Judgement) -> str:
    """What was said against what came, per fold; the first agent open, the others on demand."""
    shown = [family.first for family in families(judgement.agents)]
    drawn = [(agent.name, _matrices(agent)) for agent in shown]
    drawn = [(name, matrices) for name, matrices in drawn if matrices]
    if not drawn:
        return ""
    (name, first), *others = drawn
    words = (
        "Rows: the label; columns: the most probable action. Each row adds up to 100 %: a skilled agent is "
        "dark along the diagonal, one that knows nothing has three equal rows."
    )
    caption = f'<p class="caption"><b>Confusion of {escape(name)}.</b> {words}</p>'
    rest = "".join(f"<h3>{escape(name)}</h3>{matrices}" for name, matrices in others)
    names = named([name for name, _ in others], "other agents")
    return f'<div class="table">{caption}{first}</div>' + folded(f"The same for {names}", rest)


def _matrices(agent: AgentJudgement) -> str:
    known = [
        (f"fold {entry.fold + 1}", entry.confusion) for entry in agent.folds if entry.confusion is not None
    ]
    if len(agent.folds) == 1:
        known = [("all", found) for _, found in known]
    elif len(known) > 1:
        known.append(("all folds", _summed([found for _, found in known])))
    return f'<div class="matrices">{"".join(_matrix(*item) for item in known)}</div>' if known else ""


def _summed(found: Sequence[Confusion]) -> Confusion:
    rows = [[sum(item[row][column] for item in found) for column in range(3)] for row in range(3)]
    return tuple((row[0], row[1], row[2]) for row in rows)


def _matrix(title: str, found: Confusion) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in _ACTIONS)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(_shaded(count, sum(row)) for count in row)}</tr>'
        for name, row in zip(_ACTIONS, found, strict=True)
    )
    return (
        f'<table class="matrix"><caption>{title}, {text.count(sum(map(sum, found)))} rows</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _shaded(count: int, total: int) -> str:
    share = count / total if total else 0.0
    # Ten steps: the style sheet has a class t0 to t9 for each.
    return (
        f'<td class="t{min(int(share * 10), 9)}">{text.percent(share, 0) if total else text.UNDEFINED}</td>'
    )
