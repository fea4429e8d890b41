"""One task when its jobs are done: judged, checked, ranked, reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.files import json_sha256, write_json
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.checks.run_checks import run_checks
from quantum_trader.evaluate.combinatorial import LightAgent, run_combinatorial
from quantum_trader.evaluate.explain import ExplainConfig, explain_rows
from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.ledger import Ledger, sharpe_ratios
from quantum_trader.evaluate.records import CheckResult, Trial, to_json, write_metrics
from quantum_trader.evaluate.report.assemble import assemble, split_summary
from quantum_trader.evaluate.report.data import PathSharpes
from quantum_trader.evaluate.report.render import write_report
from quantum_trader.evaluate.run_stages import Say
from quantum_trader.evaluate.suite.tasks import Task, edge_share, truth
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.collect import Collected, collect
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.leaderboard import leaderboard
from quantum_trader.evaluate.sweep.leaderboard_page import TaskBoard
from quantum_trader.evaluate.sweep.plan import data_hash
from quantum_trader.evaluate.sweep.run_job import fold_data, markets_of
from quantum_trader.evaluate.sweep.worker import limited_threads
from quantum_trader.train.data_config import DataConfig

if TYPE_CHECKING:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent
    from quantum_trader.agents.tft.agent import TFTAgent

_NETWORKS = ("tft", "bilstm")


@dataclass(frozen=True, kw_only=True)
class JudgedTask:
    """A task's place on the leaderboard, and its report."""

    board: TaskBoard
    report: Path


def judge_task(config: BenchmarkConfig, task: Task, jobs: Sequence[Job], say: Say) -> JudgedTask:
    """Judge what the jobs of a task left, and write its report and metrics.

    Args:
        config: of the benchmark.
        task: which.
        jobs: its jobs, all done or failed.
        say: told what happens.
    """
    say(f"{task.name}: judging")
    markets = markets_of(task.market)
    trials = Ledger(config.out).trials(fold_data(jobs[0].run).data_sha256)
    keys = {job.key for job in jobs}
    found = collect(
        jobs,
        BenchConfig(
            bootstrap=BootstrapConfig(draws=config.bootstrap_draws),
            coin_flips=config.coin_flips,
            tried=sharpe_ratios(trial for trial in trials if trial.key not in keys),
            seed=config.seed,
        ),
    )
    verdict = found.verdict
    folder = config.folder / "tasks" / task.name
    data = assemble(
        verdict,
        verdict.rows,
        title=f"quantum-trader: {config.name}, {task.name}",
        subtitle=task.title,
        splits=[split_summary(f"test {n}", fold.rows) for n, fold in enumerate(found.folds)],
        data_notes=[
            f"Walk-forward, {config.walk.kind}, {len(found.folds)} folds: scaler, label width, models, "
            "calibration, Arbiter and thresholds of each are fitted on its own past. What networks look at "
            "is said of the last fold."
        ],
        explanations=_explanations(config, jobs, found),
        checks=_checks(config, jobs, found, trials, say) if config.checks else (),
        trials=trials,
        paths=[_paths(config, task, markets, agent, say) for agent in config.combinatorial],
    )
    write_metrics(folder / "metrics.json", verdict.judgement)
    write_report(folder / "report.html", data)
    board = TaskBoard(
        name=task.name,
        title=task.title,
        claim=task.claim,
        data=data_hash(markets),
        folds=len(found.folds),
        judgement=verdict.judgement,
        rows=leaderboard(task.name, verdict.judgement, found.outcomes, _edges(task, found)),
        checks=data.checks,
    )
    return JudgedTask(board=board, report=folder / "report.html")


def _explanations(config: BenchmarkConfig, jobs: Sequence[Job], found: Collected) -> list[Explanation]:
    """What the networks of the last fold and the first seed look at."""
    last = max(job.fold for job in jobs)
    done = {outcome.key for outcome in found.outcomes if outcome.status == "done"}
    block = found.verdict.judgement.bootstrap.block_bars
    return [
        explain_rows(_network(job), found.folds[last].rows, ExplainConfig(seed=config.seed, block_bars=block))
        for job in jobs
        if job.agent in _NETWORKS and (job.fold, job.seed) == (last, 0) and job.key in done
    ]


def _network(job: Job) -> TFTAgent | BiLSTMAgent:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent
    from quantum_trader.agents.tft.agent import TFTAgent

    folder = job.run.folder / "models" / job.agent
    return TFTAgent.load(folder) if job.agent == "tft" else BiLSTMAgent.load(folder)


def _edges(task: Task, found: Collected) -> dict[str, float]:
    """Share of the planted edge that each agent with probabilities found."""
    planted = truth(task.market.data)
    if planted is None:
        return {}
    rows = found.verdict.rows
    edges = {
        entrant.name: edge_share(planted, rows.timestamps, rows.action, entrant.probabilities)
        for entrant in found.verdict.entrants
        if entrant.probabilities is not None and entrant.role == "learner"
    }
    return {name: share for name, share in edges.items() if np.isfinite(share)}


def _checks(
    config: BenchmarkConfig, jobs: Sequence[Job], found: Collected, trials: Sequence[Trial], say: Say
) -> tuple[CheckResult, ...]:
    say("checking: leaks, accounting, luck")
    folds = [fold_data(run) for run in {job.fold: job.run for job in jobs}.values()]
    return run_checks(
        folds[-1],
        markets_of(jobs[0].run.market),
        trials=trials,
        keys=[outcome.key for outcome in found.outcomes if outcome.status == "done"],
        seed=config.seed,
        config=DataConfig(labels=config.labels, splits=jobs[-1].run.splits, weights=config.weights),
        folds=folds,
    )


def _paths(
    config: BenchmarkConfig, task: Task, markets: Sequence[Market], agent: LightAgent, say: Say
) -> PathSharpes:
    """Sharpe ratios over the paths of combinatorial cross-validation; what was computed before is read."""
    data = DataConfig(labels=config.labels, weights=config.weights)
    settings = getattr(config, agent)
    key = json_sha256(
        {
            "data": data_hash(markets),
            "config": to_plain(data),
            "settings": to_plain(settings),
            "seed": config.seed,
        }
    )
    path = config.folder / "tasks" / task.name / f"combinatorial-{agent}.json"
    sharpes = _kept(path, key)
    if sharpes is None:
        # Dozens of small fits: threads that wait for each other take most of the time.
        with limited_threads(config.backend.threads):
            found = run_combinatorial(
                markets, data, agent=agent, settings=settings, seed=config.seed, say=say
            )
        write_json(path, {"key": key, "found": to_json(found)})
        sharpes = list(found.sharpes)
    return PathSharpes(agent=agent, sharpes=np.array(sharpes, dtype=np.float64))


def _kept(path: Path, key: str) -> list[float] | None:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["key"] != key:
            return None
        # NaN, a path without a trade, is null in JSON.
        return [float("nan") if value is None else float(value) for value in plain["found"]["sharpes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
