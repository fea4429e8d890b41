"""Sentences of the summary on what speaks against a result: failed checks, luck, folds, costs and delay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from quantum_trader.evaluate.records import AgentJudgement, CheckResult, Judgement
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.comparison_section import (
    DEFLATED,
    overfitting_sentence,
    spa_sentence,
)
from quantum_trader.evaluate.report.families import Family, families

LISTED = 8
"""Names that a sentence lists; more are counted."""
_TOLD = 3
"""Agents that get a sentence of their own."""


def named(names: Sequence[str], of: str = "agents") -> str:
    """The names as a phrase, or how many there are where nobody would read them all."""
    return text.listing(list(names)) if len(names) <= LISTED else f"{len(names)} {of}"


def failed_checks(checks: Sequence[CheckResult]) -> str:
    """What the mechanical checks found wrong, in their own words; empty where nothing failed."""
    failed = [check for check in checks if check.passed is False]
    if not failed:
        return ""
    asked = sum(check.passed is not None for check in checks)
    found = " ".join(f"{check.question} {check.detail}" for check in failed[:LISTED])
    some = "one failed" if len(failed) == 1 else f"{len(failed)} failed"
    return (
        f"Of {asked} mechanical checks {some}. What follows may come from an error and not from the market. "
        f"{found}"
    )


def luck(learners: Sequence[AgentJudgement]) -> str:
    """Deflated Sharpe ratios against the number of tries; empty where none was computed."""
    tested = [agent for agent in learners if math.isfinite(_deflated(agent))]
    if not tested:
        return ""
    best = max(tested, key=_deflated)
    tries, number = _tries(best), text.number(_deflated(best), 3)
    if _deflated(best) < DEFLATED:
        return (
            f"The highest deflated Sharpe ratio is {best.name}'s, {number}, below {DEFLATED:.2f}: it is not "
            f"distinguishable from the best of {tries} by luck."
        )
    real = [agent for agent in tested if _deflated(agent) >= DEFLATED]
    shown = [f"{agent.name} ({text.number(_deflated(agent), 3)})" for agent in real]
    others = "" if len(real) == len(tested) else " The others are not distinguishable from that luck."
    return (
        f"By deflated Sharpe ratio, {named(shown)} did better than the best of {tries} would by luck.{others}"
    )


def unproven(winners: Sequence[AgentJudgement]) -> str:
    """The reservation to make at once where an agent passes but its Sharpe ratio may be the best of many."""
    lucky = [agent for agent in winners if _deflated(agent) < DEFLATED]
    if not lucky:
        return ""
    return (
        f" But for {named([agent.name for agent in lucky])} the deflated Sharpe ratio stays below "
        f"{DEFLATED:.2f}, so it may be the luck of the best of {_tries(lucky[0])}."
    )


def together(judgement: Judgement) -> str:
    """All agents at once: superior predictive ability and backtest overfitting."""
    found = judgement.comparison
    if found is None:
        return ""
    return " ".join(part for part in (spa_sentence(found), overfitting_sentence(found)) if part)


def fold_counts(learners: Sequence[AgentJudgement]) -> str:
    """In how many folds each agent was in profit; empty for fewer than two folds."""
    groups = [family for family in families(learners) if len(family.first.folds) > 1]
    if not groups:
        return ""
    folds = len(groups[0].first.folds)
    if len(groups) <= LISTED:
        parts = [f"{family.name} in {_won(family)}" for family in groups]
        return f"Of {folds} folds in time, {', '.join(parts)} ended in profit."
    won = [_positive(family.first) for family in groups]
    most = sum(2 * count > folds for count in won)
    return (
        f"Of {folds} folds in time, the trained agents ended between {min(won)} and {max(won)} in profit; "
        f"{most} of {len(groups)} agents more than half of them."
    )


def fragile(learners: Sequence[AgentJudgement]) -> str:
    """Profits at twice the costs and a bar later; empty where there is none to lose."""
    fates = [_Fate.of(family.first) for family in families(learners)]
    known = [fate for fate in fates if fate is not None]
    if len(known) <= _TOLD:
        return " ".join(fate.sentence for fate in known)
    dearer = [fate for fate in known if fate.dearer is not None]
    later = [fate for fate in known if fate.later is not None]
    parts = []
    if dearer:
        lost = sum(_gone(fate.dearer) for fate in dearer)
        parts.append(f"{lost} of {len(dearer)} lose it at twice the costs")
    if later:
        lost = sum(_gone(fate.later) for fate in later)
        parts.append(f"{lost} of {len(later)} with orders one bar later")
    return f"Of the {len(known)} trained agents with a profit, {text.listing(parts)}."


@dataclass(frozen=True, kw_only=True)
class _Fate:
    """What becomes of one agent's profit; None where it was not tried."""

    name: str
    profit: float
    dearer: float | None
    later: float | None

    @classmethod
    def of(cls, agent: AgentJudgement) -> _Fate | None:
        """None without a profit, or where nothing else was tried."""
        profit, dearer, later = (_result(agent, *setting) for setting in ((1.0, 0), (2.0, 0), (1.0, 1)))
        if profit is None or not profit > 0 or (dearer is None and later is None):
            return None
        return cls(name=agent.name, profit=profit, dearer=dearer, later=later)

    @property
    def sentence(self) -> str:
        shown = [
            f"{text.percent(value, signed=True)} {words}"
            for value, words in (
                (self.dearer, "at twice the costs"),
                (self.later, "with orders one bar later"),
            )
            if value is not None
        ]
        end = ""
        if _gone(self.dearer) and _gone(self.later):
            end = ": either takes the whole profit"
        elif _gone(self.dearer):
            end = ": the dearer costs take the whole profit"
        elif _gone(self.later):
            end = ": the delay takes the whole profit"
        start = text.percent(self.profit, signed=True)
        return f"{self.name}'s net return of {start} becomes {text.listing(shown)}{end}."


def _gone(value: float | None) -> bool:
    return value is not None and value <= 0


def _result(agent: AgentJudgement, cost: float, delay: int) -> float | None:
    """Net return at a factor on costs and a delay; None where it was not tried."""
    settings = {(row.cost_multiplier, row.delay_bars): row.total_return.estimate for row in agent.sensitivity}
    return settings.get((cost, delay))


def _won(family: Family) -> str:
    counts = [_positive(agent) for agent in family.agents]
    if min(counts) == max(counts):
        return str(counts[0])
    return f"{min(counts)} to {max(counts)} by seed"


def _positive(agent: AgentJudgement) -> int:
    return sum(entry.total_return > 0 for entry in agent.folds)


def _deflated(agent: AgentJudgement) -> float:
    return agent.sharpe_test.deflated if agent.sharpe_test is not None else math.nan


def _tries(agent: AgentJudgement) -> str:
    trials = agent.sharpe_test.trials if agent.sharpe_test is not None else 0
    return "one try" if trials == 1 else f"{text.count(trials)} tries"
