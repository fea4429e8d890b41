"""The leaderboard of a task: one row an agent, the median over its seeds, never the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

import numpy as np

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import AgentJudgement, ConfidenceRow, Judgement, Kind, Role
from quantum_trader.evaluate.run_config import SEED_MARK
from quantum_trader.evaluate.sweep.answers import JobOutcome
from quantum_trader.evaluate.sweep.collect import entrant_name

_MEGABYTE = 2.0**20
_NEVER = "no fold was finished"
_OF_INTERVAL = ("", "_low", "_high")
_ENDINGS: dict[str, tuple[str, ...]] = {
    "Interval | None": _OF_INTERVAL,
    "tuple[float, float] | None": ("_lowest", "_highest"),
    "ConfidenceRow | None": (
        "_trades",
        *(f"_win_rate{ending}" for ending in _OF_INTERVAL),
        "_break_even_win_rate",
        "_total_return",
    ),
}
"""Type of a field of `LeaderboardRow` -> the endings of its columns in a flat table."""


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """One agent on one task. Intervals are those of its median seed by net return."""

    task: str
    """Name of the task."""
    agent: str
    """Name of the agent."""
    role: Role
    """A baseline is there to be beaten."""
    kind: Kind
    """Signal agents leave by barrier or time, position agents when they decide to."""
    failure: str = ""
    """Why it, or some of its seeds, is not judged; empty where all are."""
    seeds: int = 1
    """Seeds judged."""
    total_return: Interval | None = None
    """Net return over all folds."""
    return_range: tuple[float, float] | None = None
    """Lowest and highest net return of the seeds."""
    folds_positive: int | None = None
    """Folds with a net profit, of the median seed."""
    sharpe: Interval | None = None
    """Yearly Sharpe ratio."""
    deflated_sharpe: float | None = None
    """Probability that it is better than the best of all trials would be by luck; a gate asks 0.95."""
    max_drawdown: float | None = None
    """Largest loss since a peak."""
    trades: int | None = None
    """Closed trades."""
    win_rate: Interval | None = None
    """Share of them with a profit after all costs."""
    break_even_win_rate: float | None = None
    """Win rate at which its average win and loss cancel."""
    beats_chance: float | None = None
    """Share of the coin flips with its own turnover that earned less."""
    log_loss: float | None = None
    """Mean negative log probability of the label; median over the seeds."""
    log_loss_range: tuple[float, float] | None = None
    """Lowest and highest of the seeds."""
    log_loss_skill: Interval | None = None
    """1 - log-loss over that of the training shares."""
    calibration_error: float | None = None
    """ECE of the most probable action."""
    direction: Interval | None = None
    """Direction accuracy on rows whose label is not HOLD."""
    direction_10: Interval | None = None
    """On the most confident tenth of them."""
    direction_1: Interval | None = None
    """On the most confident hundredth of them."""
    top_10: ConfidenceRow | None = None
    """The most confident tenth of all rows, traded."""
    top_1: ConfidenceRow | None = None
    """The most confident hundredth of all rows, traded."""
    edge_share: float | None = None
    """Share of the planted edge that it found; None where nothing is planted."""
    seconds_fit: float | None = None
    """Seconds of fitting, all folds of a seed; median over the seeds."""
    seconds_answer: float | None = None
    """Seconds of answering the test rows of all folds; median over the seeds."""
    peak_megabytes: float | None = None
    """Most memory of the process while it fitted and answered."""


def leaderboard(
    task: str,
    judgement: Judgement,
    outcomes: Sequence[JobOutcome],
    edges: dict[str, float],
) -> tuple[LeaderboardRow, ...]:
    """Rows of learners by log-loss skill (those without last), then those that failed, then the baselines.

    Args:
        task: its name.
        judgement: of all agents and seeds.
        outcomes: of all jobs.
        edges: share of the planted edge by name of the entrant; empty where nothing is planted.
    """
    learners: dict[str, list[AgentJudgement]] = {}
    for agent in judgement.agents:
        if agent.role == "learner":
            learners.setdefault(agent.name.split(SEED_MARK)[0], []).append(agent)
    asked = {entrant_name(outcome.agent, 0): outcome.agent for outcome in outcomes}
    own = {name: [item for item in outcomes if item.agent == agent] for name, agent in asked.items()}
    rows = [_row(task, name, seeds, edges, own.get(name, [])) for name, seeds in learners.items()]
    failed = [
        LeaderboardRow(
            task=task, agent=name, role="learner", kind="signal", seeds=0, failure=_failure(mine) or _NEVER
        )
        for name, mine in own.items()
        if name not in learners
    ]
    rivals = [
        _row(task, agent.name, [agent], edges, []) for agent in judgement.agents if agent.role != "learner"
    ]
    return (*sorted(rows, key=_rank), *failed, *rivals)


def middle_seed(seeds: Sequence[AgentJudgement]) -> AgentJudgement:
    """The seed with the median net return, the lower of two."""
    ordered = sorted(seeds, key=lambda agent: agent.total_return.estimate)
    return ordered[(len(ordered) - 1) // 2]


def flat(row: LeaderboardRow) -> dict[str, Any]:
    """A row as columns of a table, the same for all rows: intervals become NAME, NAME_low and NAME_high."""
    found: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        names = [field.name + ending for ending in _ENDINGS.get(str(field.type), ("",))]
        found |= dict(zip(names, [None] * len(names) if value is None else _values(value), strict=True))
    return found


def _row(
    task: str,
    name: str,
    seeds: Sequence[AgentJudgement],
    edges: dict[str, float],
    outcomes: Sequence[JobOutcome],
) -> LeaderboardRow:
    agent = middle_seed(seeds)
    signal, test = agent.signal, agent.sharpe_test
    losses = [each.signal.log_loss for each in seeds if each.signal is not None]
    returns = [each.total_return.estimate for each in seeds]
    shares = [edges[each.name] for each in seeds if each.name in edges]
    lost = {item.seed for item in outcomes if item.status == "failed"}
    whole = [item for item in outcomes if item.seed not in lost]
    return LeaderboardRow(
        task=task,
        agent=name,
        role=agent.role,
        kind=agent.kind,
        failure=_failure(outcomes),
        seeds=len(seeds),
        total_return=agent.total_return,
        return_range=(min(returns), max(returns)),
        folds_positive=sum(fold.total_return > 0 for fold in agent.folds),
        sharpe=agent.sharpe,
        deflated_sharpe=None if test is None else test.deflated,
        max_drawdown=agent.trading.max_drawdown,
        trades=agent.trading.trades,
        win_rate=agent.win_rate,
        break_even_win_rate=agent.trading.break_even_win_rate,
        beats_chance=None if agent.coin_flips is None else agent.coin_flips.return_percentile,
        log_loss=median(losses) if losses else None,
        log_loss_range=(min(losses), max(losses)) if losses else None,
        log_loss_skill=None if signal is None else signal.log_loss_skill,
        calibration_error=None if signal is None else signal.calibration_error,
        direction=None if signal is None else signal.direction_accuracy,
        direction_10=None if signal is None else signal.direction_accuracy_10,
        direction_1=None if signal is None else signal.direction_accuracy_1,
        top_10=_top(agent, 0.1),
        top_1=_top(agent, 0.01),
        edge_share=median(shares) if shares else None,
        seconds_fit=_per_seed(whole, "seconds_fit"),
        seconds_answer=_per_seed(whole, "seconds_answer"),
        peak_megabytes=_peak(whole),
    )


def _failure(outcomes: Sequence[JobOutcome]) -> str:
    """The first thing that went wrong with an agent, and how many more did; "" where nothing did."""
    bad = [item for item in outcomes if item.status == "failed"]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"fold {bad[0].fold}, seed {bad[0].seed}: {bad[0].reason}{more}" if bad else ""


def _rank(row: LeaderboardRow) -> float:
    skill = row.log_loss_skill
    return -skill.estimate if skill is not None and np.isfinite(skill.estimate) else np.inf


def _top(agent: AgentJudgement, share: float) -> ConfidenceRow | None:
    return next((row for row in agent.confidence if row.share == share), None)


def _per_seed(outcomes: Sequence[JobOutcome], field: str) -> float | None:
    sums: dict[int, float] = {}
    for outcome in outcomes:
        value = getattr(outcome, field)
        if value is not None:
            sums[outcome.seed] = sums.get(outcome.seed, 0.0) + value
    return median(sums.values()) if sums else None


def _peak(outcomes: Sequence[JobOutcome]) -> float | None:
    known = [outcome.peak_bytes for outcome in outcomes if outcome.peak_bytes is not None]
    return max(known) / _MEGABYTE if known else None


def _values(value: Any) -> list[Any]:
    """What stands in a row's columns of one field, in the order of `_ENDINGS`."""
    if isinstance(value, ConfidenceRow):
        return [value.trades, *_values(value.win_rate), value.break_even_win_rate, value.total_return]
    if isinstance(value, Interval):
        return [value.estimate, value.low, value.high]
    return list(value) if isinstance(value, tuple) else [value]
