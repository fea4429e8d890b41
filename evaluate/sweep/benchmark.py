"""`run_benchmark`: every agent on every task, fold by fold and seed by seed, to a leaderboard."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantum_trader.agents.folder import software_version
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import write_json, write_text
from quantum_trader.evaluate.ledger import Ledger
from quantum_trader.evaluate.records import to_json
from quantum_trader.evaluate.report.summary import findings
from quantum_trader.evaluate.run_stages import Say
from quantum_trader.evaluate.suite.contestant import ContestantError
from quantum_trader.evaluate.suite.registry import entry_point_names, find_contestant
from quantum_trader.evaluate.suite.tasks import Task, suite
from quantum_trader.evaluate.sweep.agents import NEEDS, OURS, is_built_in, with_needs
from quantum_trader.evaluate.sweep.answers import JobOutcome, failed, read_finished, write_outcome
from quantum_trader.evaluate.sweep.backends import run_graph
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.collect import entrant_name
from quantum_trader.evaluate.sweep.errors import SweepError
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.leaderboard import LeaderboardRow, flat
from quantum_trader.evaluate.sweep.leaderboard_page import TaskBoard, leaderboard_page
from quantum_trader.evaluate.sweep.plan import plan_jobs
from quantum_trader.evaluate.sweep.run_job import forget_data, markets_of, run_job
from quantum_trader.evaluate.sweep.task_report import JudgedTask, judge_task


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """Where the results are, and what was found in words."""

    page: Path
    table: Path
    figures: Path
    reports: tuple[Path, ...]
    summary: str


def run_benchmark(config: BenchmarkConfig, say: Say) -> BenchmarkResult:
    """Run every job that is not finished yet, then judge and rank.

    Raises:
        ConfigError: an unknown suite or agent, two agents of one name, or nothing to run on.
        SweepError: no job could be run.
    """
    started = time.perf_counter()
    config = replace(config, agents=chosen_agents(config))
    tasks = chosen_tasks(config)
    _check_agents(config.agents)
    write_json(config.folder / "config.json", to_plain(config))
    forget_data()
    plans = {task.name: plan_jobs(config, task, markets_of(task.market)) for task in tasks}
    jobs = [job for plan in plans.values() for job in plan]
    for run in {job.run.folder: job.run for job in jobs}.values():
        write_json(run.folder / "config.json", to_plain(run))
    _run_jobs(config, jobs, say)
    judged = [judge_task(config, task, plans[task.name], say) for task in tasks]
    return _write(config, judged, time.perf_counter() - started)


def chosen_agents(config: BenchmarkConfig) -> tuple[str, ...]:
    """The agents named, or ours and those that installed packages offer."""
    return config.agents or (*OURS, *entry_point_names())


def chosen_tasks(config: BenchmarkConfig) -> tuple[Task, ...]:
    """The suite's tasks, and the user's own data where given.

    Raises:
        ConfigError: neither.
    """
    own = config.market.data
    name = config.suite if config.suite is not None else ("none" if own else "standard")
    tasks = suite(name)
    if own:
        tasks = (*tasks, Task(name="data", title=f"your own bars, {own}", market=config.market, claim="open"))
    if not tasks:
        raise ConfigError("Nothing to run on: name a suite, or give --data.")
    return tasks


def _check_agents(agents: Sequence[str]) -> None:
    """A typo is found before hours of fitting, not after; so are names that a table could not tell apart."""
    names: dict[str, str] = {}
    for agent in with_needs(agents):
        if not is_built_in(agent):
            try:
                find_contestant(agent)
            except ContestantError as error:
                raise ConfigError(f"agents: {error} Ours are {', '.join(NEEDS)}.") from error
        other = names.setdefault(entrant_name(agent, 0), agent)
        if other != agent:
            raise ConfigError(f"agents: {other} and {agent} have the same name; give one class another.")


def _run_jobs(config: BenchmarkConfig, jobs: Sequence[Job], say: Say) -> None:
    ledger = Ledger(config.out)
    # Two tasks of the same bars share their jobs.
    unique = {job.key: job for job in jobs}
    before = {key: read_finished(job.folder) for key, job in unique.items()}
    # What failed is tried again: memory may have been short, a package missing.
    todo = [job for key, job in unique.items() if before[key] is None]
    for old in before.values():
        if old is not None and old.trial is not None:
            ledger.append(old.trial)
    say(f"jobs: {len(unique)}, {len(unique) - len(todo)} of them kept from before")
    done = 0

    def on_result(job: Job, outcome: JobOutcome) -> None:
        nonlocal done
        done += 1
        if outcome.trial is not None:
            ledger.append(outcome.trial)
        how = f"failed: {outcome.reason}" if outcome.status == "failed" else _seconds(outcome)
        say(f"{done}/{len(todo)} {job}: {how}")

    def on_skipped(job: Job, cause: Job) -> JobOutcome:
        outcome = failed(job, f"builds on {cause.agent}, which failed")
        write_outcome(job.folder, outcome)
        return outcome

    try:
        run_graph(
            run_job,
            todo,
            {job.key: job.needs for job in todo},
            lambda job: job.key,
            config.backend,
            on_result,
            on_skipped=on_skipped,
            failed=lambda outcome: outcome.status == "failed",
        )
    except SweepError as error:
        if done == 0 and len(todo) == len(unique):
            raise
        # All other jobs are finished: their agents are judged, these are listed as failed.
        say(str(error))


def _seconds(outcome: JobOutcome) -> str:
    fit = "" if outcome.seconds_fit is None else f"fitted in {outcome.seconds_fit:.1f} s, "
    return f"{fit}answered in {outcome.seconds_answer:.1f} s"


def _write(config: BenchmarkConfig, judged: Sequence[JudgedTask], seconds: float) -> BenchmarkResult:
    boards = [task.board for task in judged]
    rows = [row for board in boards for row in board.rows]
    figures = config.folder / "leaderboard.json"
    write_json(
        figures,
        to_json(
            {
                "name": config.name,
                "environment": "quantum_trader.envs:FuturesTrading-v0",
                "version": software_version(),
                "feature_set": FEATURE_SET_VERSION,
                "seconds": seconds,
                "tasks": [_task_json(board) for board in boards],
            }
        ),
    )
    table = config.folder / "leaderboard.csv"
    write_text(table, _csv(rows))
    page = config.folder / "leaderboard.html"
    write_text(page, leaderboard_page(config.name, boards, seconds))
    summary = "\n".join(
        f"{board.name}\n" + "\n".join(f"- {sentence}" for sentence in findings(board.judgement, board.checks))
        for board in boards
    )
    return BenchmarkResult(
        page=page,
        table=table,
        figures=figures,
        reports=tuple(task.report for task in judged),
        summary=summary,
    )


def _task_json(board: TaskBoard) -> dict[str, object]:
    comparison = board.judgement.comparison
    return {
        "name": board.name,
        "title": board.title,
        "claim": board.claim,
        "data_sha256": board.data,
        "folds": board.folds,
        "start_ms": board.judgement.start_ms,
        "end_ms": board.judgement.end_ms,
        "symbols": list(board.judgement.symbols),
        "comparison": None if comparison is None else to_plain(comparison),
        "checks": [to_plain(check) for check in board.checks],
        "agents": [to_plain(row) for row in board.rows],
    }


def _csv(rows: Sequence[LeaderboardRow]) -> str:
    flattened = [flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flattened for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened)
    return text.getvalue()
