"""The model card: what was trained on what, the mechanical checks, and the ledger of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from quantum_trader.evaluate.records import CheckResult, Trial
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.data import ReportData
from quantum_trader.evaluate.report.doubts import named
from quantum_trader.evaluate.report.families import families
from quantum_trader.evaluate.report.html import Cell, Row, cells, definitions, folded, section, table

_YEAR_MS = 365.25 * 86_400_000
_LISTED = 60
"""Configurations of the ledger listed one by one; the page has to stay small."""
_OPEN = 12
"""Configurations that are listed without being asked for."""
_ANSWERS = {True: "passed", False: "FAILED", None: "not asked"}


def card_section(data: ReportData) -> str:
    """What the agents are and which checks they passed; empty where no check was made."""
    if not data.checks:
        return ""
    return section(
        "Model card",
        f'<div class="details card">{definitions("What was judged", facts(data))}</div>',
        check_table(data.checks),
    )


def facts(data: ReportData) -> list[tuple[str, str]]:
    """Name and value of what a reader has to know before trusting a figure."""
    judged, checks = data.judgement, data.checks
    learners = families(judged.agents)
    folds = max((len(agent.folds) for agent in judged.agents), default=0)
    asked = [check for check in checks if check.passed is not None]
    train = next((split for split in data.splits if split.name == "train"), None)
    rows = [
        ("trained agents", named([family.label for family in learners]) or "none"),
        ("markets", f"{text.count(len(judged.symbols))}, bars of {text.bar_length(judged.step_ms)}"),
    ]
    if train is not None:
        rows.append(("trained on", f"{text.day(train.start_ms)} to {text.day(train.end_ms)}"))
    rows.append(("traded on", f"{text.day(judged.start_ms)} to {text.day(judged.end_ms)}"))
    if folds > 1:
        rows.append(("folds", text.count(folds)))
    if data.trials:
        rows.append(("configurations tried", text.count(len({trial.trial for trial in data.trials}))))
    passed = sum(check.passed is True for check in asked)
    rows.append(("checks passed", f"{passed} of {len(asked)} asked"))
    return rows


def check_table(checks: Sequence[CheckResult]) -> str:
    """Every check with its answer, the failed ones first."""
    rank = {False: 0, True: 1, None: 2}
    rows = [
        Row(
            cells=cells(
                check.name,
                Cell(text=_ANSWERS[check.passed], words=True),
                Cell(text=check.question, words=True),
                Cell(text=check.detail, words=True),
            ),
            style="failed" if check.passed is False else "baseline" if check.passed is None else "",
        )
        for check in sorted(checks, key=lambda check: rank[check.passed])
    ]
    caption = (
        "Questions about leaks, accounting and luck that a program can answer. A failed one may make every "
        "other figure worthless; one that was not asked is open, not passed."
    )
    return table("Mechanical checks.", caption, ("check", "answer", "question", "found"), rows)


def ledger_section(trials: Sequence[Trial]) -> str:
    """The ledger by configuration; empty without a line."""
    if not trials:
        return ""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.trial, []).append(trial)
    newest = sorted(groups.values(), key=lambda lines: max(line.time for line in lines), reverse=True)
    rows = [_trial_row(lines) for lines in newest[:_LISTED]]
    header = ("configuration", "agent", "rows", "lines", "seeds", "first", "last", "Sharpe", "log-loss")
    cut = f" The newest {_LISTED} are listed; the ledger has all." if len(groups) > _LISTED else ""
    caption = (
        f"{text.count(len(trials))} {'line' if len(trials) == 1 else 'lines'} of {text.count(len(groups))} "
        f"{'configuration' if len(groups) == 1 else 'configurations'}: everything that was trained on these "
        "data, kept or not. Their number is what a Sharpe ratio is deflated by. Sharpe "
        f"(yearly) and log-loss: median over the lines; small: lowest and highest.{cut}"
    )
    ledger = table("Trials.", caption, header, rows)
    return section("Trials", ledger if len(rows) <= _OPEN else folded("The ledger", ledger))


def _trial_row(lines: Sequence[Trial]) -> Row:
    times = sorted(line.time for line in lines)
    return Row(
        cells=cells(
            lines[0].trial[:10],
            text.listing(sorted({line.agent for line in lines})),
            text.listing(sorted({line.split for line in lines})),
            text.count(len(lines)),
            text.count(len({line.seed for line in lines})),
            times[0][:10],
            times[-1][:10],
            _spread([yearly_sharpe(line) for line in lines], 2),
            _spread([line.log_loss for line in lines if line.log_loss is not None], 4),
        )
    )


def yearly_sharpe(trial: Trial) -> float:
    """The Sharpe ratio of a bar times the root of the bars that a year of the trial's own period has."""
    span = trial.end_ms - trial.start_ms
    return (
        trial.sharpe * math.sqrt((trial.bars - 1) * _YEAR_MS / span)
        if span > 0 and trial.bars > 1
        else math.nan
    )


def _spread(values: Sequence[float], digits: int) -> tuple[str, str]:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return text.UNDEFINED, ""
    if len(known) == 1:
        return text.number(known[0], digits), ""
    ends = f"{text.number(min(known), digits)} … {text.number(max(known), digits)}"
    return text.number(median(known), digits), ends
