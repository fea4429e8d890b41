"""'What was found', in plain words that follow from the numbers and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import AgentJudgement, CheckResult, Judgement
from quantum_trader.evaluate.report import doubts, format as text
from quantum_trader.evaluate.report.doubts import LISTED, named
from quantum_trader.evaluate.report.families import families

BEATS_FLIPS = 0.95
"""Share of random timings that an agent has to outdo to be said to beat chance."""
FIXED_THRESHOLD = 0.65


_ROUNDING = 1e-6
"""Skill that single precision alone may show: stating the training shares has none."""


def findings(judgement: Judgement, checks: Sequence[CheckResult] = ()) -> list[str]:
    """The paragraphs of the summary: checks that failed, then the verdict."""
    learners = [agent for agent in judgement.agents if agent.role == "learner"]
    if not learners:
        nothing = "No trained agent was judged; the baselines below show what the period itself offered."
        return [part for part in (doubts.failed_checks(checks), nothing) if part]
    parts = [
        doubts.failed_checks(checks),
        _verdict(learners),
        doubts.luck(learners),
        doubts.together(judgement),
        doubts.fold_counts(learners),
        _returns(learners),
        doubts.fragile(learners),
        _seeds(learners),
        _flips(learners),
        _hold(judgement, learners),
        _direction(learners),
        _fixed_threshold(learners),
        _caution(judgement, learners),
    ]
    return [part for part in parts if part]


def passes(agent: AgentJudgement) -> bool:
    """Whether an agent made money, beat buy-and-hold and beat random timing, each beyond chance."""
    excess = agent.excess_over_hold
    return (
        agent.total_return.above_zero
        and excess is not None
        and excess.above_zero
        and agent.coin_flips is not None
        and agent.coin_flips.return_percentile >= BEATS_FLIPS
    )


def _verdict(learners: list[AgentJudgement]) -> str:
    passed = [agent for agent in learners if passes(agent)]
    winners = [agent.name for agent in passed]
    if winners:
        doubt = doubts.unproven(passed)
        return (
            f"{named(winners)} made money after costs, earned more than buy-and-hold and did better "
            f"than {_level(BEATS_FLIPS)} of its own decisions moved to random moments; the intervals of "
            f"the profit and of the lead over buy-and-hold exclude zero.{doubt}"
        )
    profitable = [agent.name for agent in learners if agent.total_return.above_zero]
    if profitable:
        return (
            f"{named(profitable)} earned a net return whose interval lies above zero, but no agent "
            "also beat both buy-and-hold and its own decisions moved to random moments: there is no "
            "evidence of skill in trading here."
        )
    losing = [agent.name for agent in learners if agent.total_return.below_zero]
    if len(losing) == len(learners):
        return "Every trained agent lost money after costs, with an interval wholly below zero."
    sentence = "No trained agent earned a net return whose interval lies above zero."
    if not losing:
        return sentence
    tail = "with an interval" if len(losing) == 1 else "with intervals"
    return f"{sentence} {named(losing)} lost money, {tail} wholly below it."


def _returns(learners: list[AgentJudgement]) -> str:
    best = max(learners, key=lambda agent: _ordered(agent.trading.total_return))
    costs = best.trading.costs.total
    before = best.trading.total_return + costs
    sentence = (
        f"The best net return of a trained agent is {best.name}'s, "
        f"{text.percent(best.trading.total_return, signed=True)}{_stated(best.total_return)} "
        f"from {text.count(best.trading.trades)} trades."
    )
    if not math.isfinite(costs) or costs <= 0:
        return sentence
    return sentence + (
        f" Its costs came to {text.percent(costs)} of the initial balance; "
        f"without them it would have stood near {text.percent(before, signed=True)}."
    )


def _flips(learners: list[AgentJudgement]) -> str:
    compared = [agent for agent in learners if agent.coin_flips is not None]
    if not compared:
        return ""
    shares = ", ".join(f"{agent.name} {_share(agent)}" for agent in compared)
    if len(compared) > LISTED:
        ordered = sorted(compared, key=_percentile)
        shares = f"{_share(ordered[0])} to {_share(ordered[-1])}"
    better = [agent.name for agent in compared if _percentile(agent) >= BEATS_FLIPS]
    verdict = (
        f"{named(better)} did better than {_level(BEATS_FLIPS)} of them"
        if better
        else f"no agent did better than {_level(BEATS_FLIPS)} of them"
    )
    return (
        "Against chance, that is an agent's own decisions moved to random other moments, with as many buys, "
        f"sells and waits: {verdict} (share outdone: {shares})."
    )


def _seeds(learners: list[AgentJudgement]) -> str:
    """Median and range over the seeds of each policy that was trained with several."""
    several = [family for family in families(learners) if len(family.agents) > 1]
    if len(several) > LISTED:
        return f"{len(several)} agents were trained with several seeds: the table of seeds has their medians."
    parts = []
    for family in several:
        low, middle, high = (
            text.percent(value, signed=True)
            for value in family.span(lambda agent: agent.trading.total_return)
        )
        trades = text.count(round(median(agent.trading.trades for agent in family.agents)))
        parts.append(
            f"{family.name} over {len(family.agents)} seeds has a median net return of {middle} ({low} to "
            f"{high}), from a median of {trades} trades"
        )
    return "; ".join(parts) + "." if parts else ""


def _hold(judgement: Judgement, learners: list[AgentJudgement]) -> str:
    baseline = judgement.agent(judgement.buy_and_hold) if judgement.buy_and_hold else None
    if baseline is None:
        return ""
    above = [a.name for a in learners if a.excess_over_hold is not None and a.excess_over_hold.above_zero]
    below = [a.name for a in learners if a.excess_over_hold is not None and a.excess_over_hold.below_zero]
    sentence = f"Buy-and-hold returned {text.percent(baseline.trading.total_return, signed=True)}. "
    parts = []
    if above:
        parts.append(f"{named(above)} earned more by a margin whose interval excludes zero")
    if below:
        parts.append(f"{named(below)} earned less by a margin whose interval excludes zero")
    if not parts:
        return sentence + "No trained agent's difference from it excludes zero, in either direction."
    rest = len(learners) - len(above) - len(below)
    tail = "; the others cannot be told apart from it." if rest else "."
    return sentence + "; ".join(parts) + tail


def _direction(learners: list[AgentJudgement]) -> str:
    rated = [agent for agent in learners if agent.signal is not None]
    if not rated:
        return ""
    best = max(rated, key=lambda a: _ordered(a.signal.direction_accuracy.estimate) if a.signal else -1.0)
    signal = best.signal
    if signal is None or not math.isfinite(signal.direction_accuracy.estimate):
        return ""
    skilled = [a.name for a in rated if a.signal is not None and a.signal.log_loss_skill.low > _ROUNDING]
    skill = (
        f"the probabilities of {named(skilled)} are better than the training shares of the classes"
        if skilled
        else "no agent's probabilities are reliably better than the training shares of the classes"
    )
    rate = signal.direction_accuracy
    return (
        f"The best sense of direction is {best.name}'s: right on {text.percent(rate.estimate)}"
        f"{_stated(rate)} of the rows that moved, "
        f"{text.percent(signal.direction_accuracy_10.estimate)} on its most confident tenth and "
        f"{text.percent(signal.direction_accuracy_1.estimate)} on its most confident hundredth. "
        f"By log-loss, {skill}."
    )


def _fixed_threshold(learners: list[AgentJudgement]) -> str:
    parts = []
    for agent in (family.first for family in families(learners)):
        row = next(
            (r for r in agent.confidence if r.measure == "three-class" and r.threshold == FIXED_THRESHOLD),
            None,
        )
        if row is not None:
            rate = f", win rate {text.percent(row.win_rate.estimate)}" if row.trades else ""
            parts.append(
                f"{agent.name} {text.percent(row.coverage, 2)} ({text.count(row.trades)} trades{rate})"
            )
    if not parts or len(parts) > LISTED:
        return ""
    return (
        f"Acting only where P(BUY) or P(SELL) reaches {FIXED_THRESHOLD:.2f} would have answered "
        f"this share of bars: {'; '.join(parts)}."
    )


def _caution(judgement: Judgement, learners: list[AgentJudgement]) -> str:
    days = (judgement.end_ms - judgement.start_ms) / 86_400_000
    folds = max(len(agent.folds) for agent in judgement.agents)
    periods = f"{folds} folds over" if folds > 1 else "one test period of"
    return (
        f"All of this is {periods} {text.count(days)} days and {len(judgement.symbols)} "
        f"{'symbol' if len(judgement.symbols) == 1 else 'symbols'}. {len(learners)} trained "
        f"{'agent was' if len(learners) == 1 else 'agents were'} compared, and the best of several looks "
        "better than it is."
    )


def _stated(interval: Interval) -> str:
    bounds = text.bounds(interval)
    return f" ({_level(interval.level)} interval {bounds} %)" if bounds else ""


def _share(agent: AgentJudgement) -> str:
    return text.percent(_percentile(agent), 0)


def _percentile(agent: AgentJudgement) -> float:
    return agent.coin_flips.return_percentile if agent.coin_flips is not None else float("nan")


def _level(share: float) -> str:
    return text.percent(share, 0)


def _ordered(value: float) -> float:
    return value if math.isfinite(value) else -math.inf
