"""From the answers of all jobs of a task to one verdict over all its folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import AnyArray, JudgedFold, judged_fold
from quantum_trader.evaluate.judge import Verdict, judge_folds
from quantum_trader.evaluate.run_config import SEED_MARK
from quantum_trader.evaluate.run_judge import baselines
from quantum_trader.evaluate.sweep.answers import JobOutcome, failed, read_answers, read_outcome
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.run_job import fold_data


@dataclass(frozen=True, kw_only=True, eq=False)
class Collected:
    """A task's jobs put together.

    Attributes:
        folds: the rows that were judged.
        verdict: what was found.
        outcomes: how each job went, in the order of the jobs.
    """

    folds: tuple[JudgedFold, ...]
    verdict: Verdict
    outcomes: tuple[JobOutcome, ...]


def collect(jobs: Sequence[Job], config: BenchConfig) -> Collected:
    """Judge every agent and seed that finished all folds, beside the baselines.

    Args:
        jobs: of one task, all with a folder by now.
        config: how to judge.
    """
    outcomes = tuple(_outcome(job) for job in jobs)
    folds, rules = [], []
    for run in {job.fold: job.run for job in jobs}.values():
        prepared = fold_data(run)
        folds.append(judged_fold(prepared))
        rules.append(baselines(prepared.test, folds[-1].prior, prepared.scaler))
    learners = _learners(jobs, outcomes, len(folds))
    known = [_joined(parts[0].name, parts) for parts in zip(*rules, strict=True)]
    return Collected(
        folds=tuple(folds),
        verdict=judge_folds([*learners, *known], folds, config),
        outcomes=outcomes,
    )


def entrant_name(agent: str, seed: int) -> str:
    """What an agent's seed is called; the first goes by the agent's own name."""
    plain = agent.rsplit(":", maxsplit=1)[-1]
    return f"{plain}{SEED_MARK}{seed}" if seed else plain


def _outcome(job: Job) -> JobOutcome:
    found = read_outcome(job.folder)
    if found is not None:
        # Kept from a benchmark in which the same work may have had other numbers.
        return replace(found, task=job.task, fold=job.fold, seed=job.seed)
    return failed(job, "its process ended without an answer")


def _learners(jobs: Sequence[Job], outcomes: Sequence[JobOutcome], folds: int) -> list[Entrant]:
    """Agents and seeds with answers on all folds: first the Arbiter, then in the order of the jobs."""
    mine: dict[tuple[str, int], list[Entrant]] = {}
    for job, outcome in zip(jobs, outcomes, strict=True):
        if outcome.status == "done":
            name = entrant_name(job.agent, job.seed)
            answers = read_answers(job.folder, outcome.kind)
            mine.setdefault((job.agent, job.seed), []).append(answers.entrant(name))
    whole = [(agent, parts) for (agent, _), parts in mine.items() if len(parts) == folds]
    whole.sort(key=lambda item: item[0] != "arbiter")
    return [_joined(parts[0].name, parts) for _, parts in whole]


def _joined(name: str, parts: Sequence[Entrant]) -> Entrant:
    """One agent's answers on all folds, one after the other."""
    decided = [part.decisions for part in parts]
    whole = all(decisions is not None for decisions in decided)
    return Entrant(
        name=name,
        role=parts[0].role,
        kind=parts[0].kind,
        decisions=tuple(mine for decisions in decided for mine in decisions or ()) if whole else None,
        probabilities=_concatenated([part.probabilities for part in parts]),
        actions=_concatenated([part.actions for part in parts]),
        quantiles=_concatenated([part.quantiles for part in parts]),
    )


def _concatenated(arrays: Sequence[AnyArray | None]) -> AnyArray | None:
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays):
        return None
    joined: AnyArray = np.concatenate(known)  # type: ignore[assignment]
    return joined
