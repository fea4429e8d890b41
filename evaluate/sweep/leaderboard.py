"""The leaderboard of a task: one row an agent, the median over its seeds, never the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import AgentJudgement, ConfidenceRow, Judgement, Kind, Role
from quantum_trader.evaluate.run_config import SEED_MARK
from quantum_trader.evaluate.sweep.answers import JobOutcome
from quantum_trader.evaluate.sweep.collect import entrant_name

_MEGABYTE = 2.0**20


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
    """Why it is not judged; empty where it is."""
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
    rows = [
        _row(task, name, seeds, edges, [item for item in outcomes if item.agent == asked.get(name)])
        for name, seeds in learners.items()
    ]
    failed = [_failure(task, name, agent, outcomes) for name, agent in asked.items() if name not in learners]
    rivals = [
        _row(task, agent.name, [agent], edges, []) for agent in judgement.agents if agent.role != "learner"
    ]
    return (*sorted(rows, key=_rank), *failed, *rivals)


def middle_seed(seeds: Sequence[AgentJudgement]) -> AgentJudgement:
    """The seed with the median net return, the lower of two."""
    ordered = sorted(seeds, key=lambda agent: agent.total_return.estimate)
    return ordered[(len(ordered) - 1) // 2]


def flat(row: LeaderboardRow) -> dict[str, Any]:
    """A row as columns of a table: intervals become NAME, NAME_low and NAME_high."""
    found: dict[str, Any] = {}
    for name, value in vars(row).items():
        if isinstance(value, ConfidenceRow):
            found |= {f"{name}_{key}": item for key, item in _flat_trades(value).items()}
        elif isinstance(value, Interval):
            found |= _flat_interval(name, value)
        elif isinstance(value, tuple):
            found |= {f"{name}_lowest": value[0], f"{name}_highest": value[1]}
        else:
            found[name] = value
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
    return LeaderboardRow(
        task=task,
        agent=name,
        role=agent.role,
        kind=agent.kind,
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
        seconds_fit=_per_seed(outcomes, "seconds_fit"),
        seconds_answer=_per_seed(outcomes, "seconds_answer"),
        peak_megabytes=_peak(outcomes),
    )


def _failure(task: str, name: str, agent: str, outcomes: Sequence[JobOutcome]) -> LeaderboardRow:
    bad = [item for item in outcomes if item.agent == agent and item.status == "failed"]
    where = f"fold {bad[0].fold}, seed {bad[0].seed}: " if bad else ""
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    reason = bad[0].reason if bad else "no fold was finished"
    return LeaderboardRow(
        task=task, agent=name, role="learner", kind="signal", seeds=0, failure=f"{where}{reason}{more}"
    )


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


def _flat_interval(name: str, value: Interval) -> dict[str, float]:
    return {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}


def _flat_trades(row: ConfidenceRow) -> dict[str, float]:
    return {
        "trades": row.trades,
        **_flat_interval("win_rate", row.win_rate),
        "break_even_win_rate": row.break_even_win_rate,
        "total_return": row.total_return,
    }
