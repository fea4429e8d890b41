"""From the answers of all jobs to one verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.folds import judged_fold
from quantum_trader.evaluate.judge import BUY_AND_HOLD
from quantum_trader.evaluate.suite.tasks import Task
from quantum_trader.evaluate.sweep.answers import ARRAYS, Answers, JobOutcome, write_outcome
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.collect import Collected, collect, entrant_name
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.plan import plan_jobs
from quantum_trader.evaluate.sweep.run_job import fold_data, markets_of

QUICK = BenchConfig(coin_flips=0, bootstrap=BootstrapConfig(draws=20))


@pytest.fixture
def jobs(config: BenchmarkConfig) -> list[Job]:
    """Two agents, two folds, two seeds."""
    task = Task(name="data", title="bars", market=config.market, claim="open")
    return list(plan_jobs(replace(config, seeds=2), task, markets_of(config.market)))


def outcome(job: Job, **found: object) -> JobOutcome:
    numbers = {"key": job.key, "task": job.task, "agent": job.agent, "fold": job.fold, "seed": job.seed}
    return JobOutcome(**{**numbers, "status": "done", **found})  # type: ignore[arg-type]


def answer(job: Job, **found: object) -> None:
    """Answers that tell which job they are of: P(HOLD) is 0.1 x (1 + fold) + 0.01 x (1 + seed)."""
    rows = len(fold_data(job.run).test)
    hold = np.float32(0.1 * (1 + job.fold) + 0.01 * (1 + job.seed))
    stated = np.full((rows, 3), (1 - hold) / 2, dtype=np.float32)
    stated[:, 0] = hold
    write_outcome(job.folder, outcome(job, **found), Answers(kind="signal", probabilities=stated))


def collected(jobs: list[Job]) -> Collected:
    return collect(jobs, QUICK)


def learners(found: Collected) -> list[str]:
    return [entrant.name for entrant in found.verdict.entrants if entrant.role == "learner"]


def test_answers_of_all_folds_are_joined_in_their_order(jobs: list[Job]) -> None:
    """Each agent and seed has one row a test row of every fold, its own; the baselines stand behind."""
    for job in jobs:
        answer(job)
    found = collected(jobs)
    assert learners(found) == ["xgboost", "logistic", "xgboost-seed1", "logistic-seed1"]
    sizes = [len(fold.rows) for fold in found.folds]
    for entrant in found.verdict.entrants[:4]:
        assert entrant.probabilities is not None
        seed = 0.02 if "seed1" in entrant.name else 0.01
        expected = np.repeat([0.1 + seed, 0.2 + seed], sizes)
        np.testing.assert_allclose(entrant.probabilities[:, 0], expected, rtol=1e-6)
    names = [entrant.name for entrant in found.verdict.entrants[4:]]
    assert names == ["prior_class", "momentum_1", "ema_cross", "always_hold", BUY_AND_HOLD]
    assert sizes == [len(judged_fold(fold_data(job.run)).rows) for job in jobs if job.seed == 0][::2]


def test_who_misses_a_fold_is_not_judged(jobs: list[Job]) -> None:
    """A seed that failed on one fold is left out; the agent's other seed stays."""
    for job in jobs:
        answer(job)
    lost = next(job for job in jobs if (job.agent, job.fold, job.seed) == ("xgboost", 1, 0))
    write_outcome(lost.folder, outcome(lost, status="failed", reason="because"))
    found = collected(jobs)
    assert learners(found) == ["logistic", "xgboost-seed1", "logistic-seed1"]
    assert [item.reason for item in found.outcomes if item.status == "failed"] == ["because"]


def test_a_job_without_a_folder_failed(jobs: list[Job]) -> None:
    """A worker that was killed leaves nothing; its job is listed as failed with what is known."""
    for job in jobs[1:]:
        answer(job)
    first = collected(jobs).outcomes[0]
    assert (first.status, first.agent) == ("failed", jobs[0].agent)
    assert first.reason == "its process ended without an answer"


def test_kept_work_goes_by_its_new_numbers(jobs: list[Job]) -> None:
    """What another benchmark called fold 7 of another task is this one's fold by its key."""
    for job in jobs:
        answer(job, task="other", fold=7, seed=9)
    found = collected(jobs)
    assert [(item.task, item.fold, item.seed) for item in found.outcomes] == [
        (job.task, job.fold, job.seed) for job in jobs
    ]


def test_damaged_answers_are_refused(jobs: list[Job]) -> None:
    """They are named with a remedy rather than judged in part."""
    for job in jobs:
        answer(job)
    (jobs[0].folder / ARRAYS).write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFolderError, match="start the benchmark again"):
        collected(jobs)


def test_baselines_alone_can_be_judged(jobs: list[Job]) -> None:
    """Where every job failed, the baselines say what the period offered."""
    found = collected(jobs)
    assert learners(found) == []
    assert found.verdict.judgement.agent(BUY_AND_HOLD) is not None


def test_names_in_tables() -> None:
    """The first seed goes by the agent's own name, somebody's agent by its class."""
    assert entrant_name("xgboost", 0) == "xgboost"
    assert entrant_name("xgboost", 2) == "xgboost-seed2"
    assert entrant_name("some/file.py:Mine", 1) == "Mine-seed1"
