"""Whole benchmarks: nothing is computed twice, nothing is lost, and one bad agent spoils nothing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.ledger import Ledger
from quantum_trader.evaluate.sweep import benchmark
from quantum_trader.evaluate.sweep.answers import ARRAYS, OUTCOME, JobOutcome
from quantum_trader.evaluate.sweep.backend_config import BackendConfig
from quantum_trader.evaluate.sweep.benchmark import BenchmarkResult, chosen_tasks, run_benchmark
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.errors import SweepError
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig

BAD = Path(__file__).parents[1] / "suite" / "bad_agents.py"
SECONDS = ("seconds", "seconds_fit", "seconds_answer", "peak_megabytes")
"""What a clock and the system decide."""


def run(config: BenchmarkConfig) -> tuple[BenchmarkResult, list[str]]:
    said: list[str] = []
    return run_benchmark(config, said.append), said


def figures(config: BenchmarkConfig) -> Any:
    """leaderboard.json without what clocks decide."""
    plain = json.loads((config.folder / "leaderboard.json").read_text(encoding="utf-8"))
    for part in (plain, *(row for task in plain["tasks"] for row in task["agents"])):
        for name in SECONDS:
            part.pop(name, None)
    return plain


def agents(config: BenchmarkConfig) -> dict[str, dict[str, Any]]:
    (task,) = figures(config)["tasks"]
    return {row["agent"]: row for row in task["agents"]}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were really done; only the serial backend tells of them."""
    done: list[Job] = []
    real = benchmark.run_job

    def spy(job: Job) -> JobOutcome:
        done.append(job)
        return real(job)

    monkeypatch.setattr(benchmark, "run_job", spy)
    return done


def named(jobs: list[Job]) -> list[tuple[str, int]]:
    return [(job.agent, job.fold) for job in jobs]


def test_a_second_start_computes_nothing(config: BenchmarkConfig, computed: list[Job]) -> None:
    """The same figures from kept answers; the ledger has one line a job, not two."""
    run(config)
    assert named(computed) == [(agent, fold) for fold in (0, 1) for agent in ("xgboost", "logistic")]
    before, keys = figures(config), {job.key for job in computed}
    computed.clear()
    _, said = run(config)
    assert computed == []
    assert said[0] == "jobs: 4, 4 of them kept from before"
    assert figures(config) == before
    lines = Ledger(config.out).read()
    assert len(lines) == 4
    assert {trial.key for trial in lines} == keys


def test_only_what_a_change_touches_is_computed(config: BenchmarkConfig, computed: list[Job]) -> None:
    """Another setting of one agent, or one agent more, leaves the others' answers as they are."""
    run(config)
    computed.clear()
    changed = replace(config, logistic=replace(config.logistic, penalty=0.5), coin_flips=2)
    run(changed)
    assert named(computed) == [("logistic", 0), ("logistic", 1)]
    computed.clear()
    run(config)
    assert computed == []
    # The other penalty was tried too.
    assert len(Ledger(config.out).read()) == 6


@pytest.mark.parametrize("name", [ARRAYS, OUTCOME])
def test_damaged_answers_are_computed_again(config: BenchmarkConfig, computed: list[Job], name: str) -> None:
    """A job whose files were cut is done again, the others are not, and the figures are the same."""
    run(config)
    before = figures(config)
    victim = computed[1]
    computed.clear()
    path = victim.folder / name
    path.write_bytes(path.read_bytes()[:100])
    run(config)
    assert [job.key for job in computed] == [victim.key]
    assert figures(config) == before
    assert len(Ledger(config.out).read()) == 4


def test_what_failed_is_tried_again(config: BenchmarkConfig, computed: list[Job], tmp_path: Path) -> None:
    """An agent that lacked a file the first time is fitted on the second start, and nothing else is."""
    path = tmp_path / "mine.py"
    needed = tmp_path / "needed.txt"
    path.write_text(
        "import numpy as np\n"
        "from pathlib import Path\n"
        "class Mine:\n"
        "    name = 'mine'\n"
        "    def fit(self, train, validation, seed):\n"
        f"        Path({str(needed)!r}).read_text()\n"
        "    def signals(self, inputs):\n"
        "        return np.full((len(inputs), 3), 1 / 3)\n",
        encoding="utf-8",
    )
    one = replace(config, agents=("logistic", f"{path}:Mine"), walk=WalkForwardConfig(folds=1))
    run(one)
    row = agents(one)["Mine"]
    assert "FileNotFoundError" in row["failure"]
    assert row["total_return"] is None
    needed.touch()
    computed.clear()
    run(one)
    assert named(computed) == [(f"{path}:Mine", 0)]
    assert agents(one)["Mine"]["failure"] == ""
    assert agents(one)["Mine"]["total_return"] is not None


def test_bad_agents_fail_alone(config: BenchmarkConfig) -> None:
    """Wrong shape, NaN, an error, a process that ends: each is listed with its reason, others are ranked."""
    reasons = {
        "WrongShape": "shape",
        "NotANumber": "finite numbers",
        "RaisesInFit": "KeyError",
        "Leaves": "exit code 3",
    }
    names = tuple(f"{BAD}:{name}" for name in (*reasons, "Even"))
    one = replace(config, agents=("logistic", *names), walk=WalkForwardConfig(folds=1))
    result, said = run(one)
    found = agents(one)
    for name, reason in reasons.items():
        assert reason in found[name]["failure"]
        assert found[name]["failure"].startswith("fold 0, seed 0: ")
        assert "\n" not in found[name]["failure"]
    assert sum("failed:" in line for line in said) == len(reasons)
    for name in ("logistic", "Even"):
        assert found[name]["failure"] == ""
        assert found[name]["log_loss"] > 0
    assert result.page.read_text(encoding="utf-8").count(" failed: ") == len(reasons)
    # What failed was tried, but left nothing to weigh.
    assert {trial.agent for trial in Ledger(one.out).read()} == {"logistic", f"{BAD}:Even"}


def test_what_builds_on_a_failure_is_skipped(
    config: BenchmarkConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the TFT failed, PPO and the Arbiter are listed as building on it; the trees are judged."""
    real = benchmark.run_job

    def without_tft(job: Job) -> JobOutcome:
        if job.agent != "tft":
            return real(job)
        return JobOutcome(
            key=job.key,
            task=job.task,
            agent="tft",
            fold=job.fold,
            seed=job.seed,
            status="failed",
            reason="no",
        )

    monkeypatch.setattr(benchmark, "run_job", without_tft)
    run(replace(config, agents=("arbiter", "logistic")))
    found = agents(replace(config))
    for name in ("ppo", "arbiter"):
        assert found[name]["failure"] == "fold 0, seed 0: builds on tft, which failed (and 1 more)"
    for name in ("xgboost", "logistic"):
        assert found[name]["failure"] == ""
        assert found[name]["total_return"] is not None


def test_where_nothing_can_run_nothing_is_written(
    config: BenchmarkConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no job at all came to its end the sweep's error is told, instead of an empty leaderboard."""

    def broken(job: Job) -> JobOutcome:
        raise MemoryError("none left")

    monkeypatch.setattr(benchmark, "run_job", broken)
    with pytest.raises(SweepError, match="4 of 4 jobs failed"):
        run(config)
    assert not (config.folder / "leaderboard.json").exists()


def test_a_worker_that_dies_costs_its_own_job(
    config: BenchmarkConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What broke outside the agent is said, its agent listed, and the rest judged."""
    real = benchmark.run_job

    def sometimes(job: Job) -> JobOutcome:
        if (job.agent, job.fold) == ("xgboost", 1):
            raise MemoryError("none left")
        return real(job)

    monkeypatch.setattr(benchmark, "run_job", sometimes)
    _, said = run(config)
    assert any("1 of 4 jobs failed: data, xgboost, fold 1, seed 0" in line for line in said)
    found = agents(config)
    assert found["xgboost"]["failure"] == "fold 1, seed 0: its process ended without an answer"
    assert found["logistic"]["total_return"] is not None


def test_seeds_are_judged_together(config: BenchmarkConfig) -> None:
    """Two seeds: one row with their range; the ledger has both, as a run with that seed would write them."""
    two = replace(config, agents=("xgboost",), seeds=2, seed=5)
    run(two)
    row = agents(two)["xgboost"]
    assert row["seeds"] == 2
    low, high = row["return_range"]
    assert low <= row["total_return"]["estimate"] <= high
    assert low != high
    assert sorted(trial.seed for trial in Ledger(two.out).read()) == [5, 5, 6, 6]


def test_processes_find_what_one_process_finds(config: BenchmarkConfig, tmp_path: Path) -> None:
    """Jobs in workers of joblib give the same figures as in this process, to the bit."""
    run(config)
    workers = replace(config, out=tmp_path / "joblib", backend=BackendConfig(workers=2))
    run(workers)
    assert figures(workers) == figures(config)


def test_two_tasks_of_the_same_bars_share_their_jobs(
    config: BenchmarkConfig, computed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite's task and the user's own data may be the same bars: each job is done once, both are judged."""
    (task,) = chosen_tasks(config)
    twins = (task, replace(task, name="twin", title="The same again."))
    monkeypatch.setattr(benchmark, "chosen_tasks", lambda _: twins)
    run(config)
    assert len(computed) == 4
    first, second = figures(config)["tasks"]
    assert [first["name"], second["name"]] == ["data", "twin"]
    for one, other in zip(first["agents"], second["agents"], strict=True):
        assert one | {"task": ""} == other | {"task": ""}


def test_the_files_can_be_read_by_anybody(config: BenchmarkConfig) -> None:
    """CSV and JSON agree, name everyone once, and hold no NaN; the page names them all."""
    result, _ = run(config)
    rows = agents(config)
    with result.table.open(encoding="utf-8", newline="") as file:
        table = {row["agent"]: row for row in csv.DictReader(file)}
    assert list(table) == list(rows)
    for name, row in rows.items():
        assert float(table[name]["total_return"]) == row["total_return"]["estimate"]
        assert float(table[name]["total_return_low"]) == row["total_return"]["low"]
    (task,) = figures(config)["tasks"]
    assert task["folds"] == 2
    assert len(task["comparison"]["pairs"]) == 1 + 2 * 5
    page = result.page.read_text(encoding="utf-8")
    assert all(name in page for name in rows)
    assert (config.folder / "tasks" / "data" / "metrics.json").is_file()
    assert all(report.is_file() for report in result.reports)


def test_a_fold_is_left_as_a_run(config: BenchmarkConfig, tmp_path: Path) -> None:
    """`evaluate` reads a fold's folder and finds the figures of that fold."""
    from quantum_trader.evaluate.experiment import evaluate_run

    run(config)
    folder = config.folder / "folds" / "data" / "fold-1-seed-0"
    found = evaluate_run(folder, lambda line: None, output=tmp_path / "again")
    plain = json.loads(found.metrics.read_text(encoding="utf-8"))
    again = {agent["name"]: agent for agent in plain["agents"]}
    metrics = json.loads((config.folder / "tasks" / "data" / "metrics.json").read_text(encoding="utf-8"))
    for agent in metrics["agents"]:
        if agent["name"] in again:
            fold = agent["folds"][1]
            assert fold["total_return"] == pytest.approx(again[agent["name"]]["total_return"]["estimate"])
            assert fold["trades"] == again[agent["name"]]["trading"]["trades"]


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"agents": ("xgbost",)}, "'xgbost' is no agent.* Ours are xgboost, ensemble, logistic, tft"),
        ({"agents": ("logistic", "nowhere.py:Mine")}, "nowhere.py: no such file"),
        ({"agents": (f"{BAD}:Even", f"{BAD.parent}/./bad_agents.py:Even")}, "have the same name"),
        ({"suite": "huge"}, "suite: expected one of standard"),
    ],
)
def test_a_typo_is_found_before_anything_is_computed(
    config: BenchmarkConfig, change: dict[str, Any], fragment: str
) -> None:
    """Unknown agents and suites, and names that a table could not tell apart, are one sentence."""
    with pytest.raises(ConfigError, match=fragment) as found:
        run(replace(config, **change))
    assert "\n" not in str(found.value)
    assert not config.folder.exists()


def test_tasks_are_the_suites_or_ones_own(config: BenchmarkConfig) -> None:
    """The standard suite by default, one's own bars alone where given, both where both are asked for."""
    none = replace(config, market=replace(config.market, data=""))
    assert [task.name for task in chosen_tasks(none)][-1] == "sample"
    assert [task.name for task in chosen_tasks(config)] == ["data"]
    both = chosen_tasks(replace(config, suite="quick"))
    assert [task.name for task in both] == ["planted-easy", "random-walk", "data"]
    with pytest.raises(ConfigError, match="Nothing to run on"):
        chosen_tasks(replace(none, suite="none"))


HELD = """
import pathlib, sys, time
from quantum_trader.evaluate.sweep import benchmark
from quantum_trader.serve.cli import main

real, begun = benchmark.run_job, pathlib.Path(sys.argv[1])

def held(job):
    if (job.agent, job.fold) == ("logistic", 0):
        begun.touch()
        time.sleep(3_600)
    return real(job)

benchmark.run_job = held
main(sys.argv[2:])
"""
"""A command that never comes to the end of its second job."""


def words(config: BenchmarkConfig, begun: Path) -> list[str]:
    """`config` as a command of its own process, which leaves the file `begun` in its second job."""
    return [
        *(sys.executable, "-c", HELD, str(begun), "benchmark", "--out", str(config.out)),
        *("--data", config.market.data, "--agents", *config.agents, "--folds", "2", "--no-checks"),
        *("--xgboost.rounds", "5", "--xgboost.n-jobs", "1", "--logistic.max-rows", "300"),
        *("--logistic.max-iterations", "5", "--coin-flips", "3", "--bootstrap-draws", "50"),
        *("--backend", "joblib", "--workers", "1"),
    ]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_benchmark_goes_on(config: BenchmarkConfig, tmp_path: Path) -> None:
    """Killed in the middle and started again, it ends with the figures of one that was left in peace."""
    killed = replace(config, out=tmp_path / "killed", backend=BackendConfig(workers=1))
    begun = tmp_path / "begun"
    process = subprocess.Popen(words(killed, begun), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 600
        while not begun.exists():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not (killed.folder / "leaderboard.json").exists()
    _, said = run(killed)
    assert said[0] == "jobs: 4, 1 of them kept from before"
    run(config)
    assert figures(killed) == figures(config)
    assert len(Ledger(killed.out).read()) == 4
