"""Jobs and their keys: whatever decides a result is in them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.suite.tasks import Task
from quantum_trader.evaluate.sweep import benchmark
from quantum_trader.evaluate.sweep.agents import NEEDS, OURS, SETTINGS, with_needs
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.job import Job, trial_key
from quantum_trader.evaluate.sweep.plan import plan_jobs
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig

TASK = Task(name="walk", title="A walk.", market=MarketConfig(data="walk"), claim="nobody")
CONFIG = BenchmarkConfig(
    out=Path("runs"),
    agents=("arbiter", "ensemble", "logistic"),
    walk=WalkForwardConfig(folds=2),
    seeds=2,
)
MINE = "class Mine:\n    name = 'mine'\n"


def market(seed: int = 0, **costs: float) -> Market:
    return Market.build(random_walk_bars(600, seed), replace(preset("binance-btc"), **costs))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def walk() -> Market:
    return market()


def keys(config: BenchmarkConfig, walk: Market) -> dict[str, str]:
    """Agent -> key of its first fold and seed."""
    jobs = plan_jobs(config, TASK, [walk])
    return {job.agent: job.key for job in jobs if (job.fold, job.seed) == (0, 0)}


def changed(config: BenchmarkConfig, walk: Market) -> set[str]:
    """Agents whose key is another than with `CONFIG`."""
    before, after = keys(CONFIG, walk), keys(config, walk)
    return {agent for agent in before if before[agent] != after[agent]}


def test_every_agent_fold_and_seed_is_a_job(walk: Market) -> None:
    """What is needed is added and stands before what needs it; each job has a key and folder of its own."""
    jobs = plan_jobs(CONFIG, TASK, [walk])
    agents = ["tft", "ppo", "xgboost", "arbiter", "ensemble", "logistic"]
    assert [(job.fold, job.seed, job.agent) for job in jobs] == [
        (fold, seed, agent) for fold in range(2) for seed in range(2) for agent in agents
    ]
    assert len({job.key for job in jobs}) == len(jobs)
    assert {job.folder for job in jobs} == {Path("runs/benchmark/jobs") / job.key for job in jobs}
    place = {job.key: number for number, job in enumerate(jobs)}
    for number, job in enumerate(jobs):
        assert len(job.needs) == len(NEEDS[job.agent])
        assert all(place[need] < number for need in job.needs)


def test_a_fold_is_a_run_of_its_own(walk: Market) -> None:
    """Folder, dates and seed are the fold's; the agents are those a run can name."""
    jobs: dict[tuple[int, int], Job] = {
        (job.fold, job.seed): job for job in plan_jobs(CONFIG, TASK, [walk]) if job.agent == "logistic"
    }
    runs = {place: job.run for place, job in jobs.items()}
    assert runs[1, 1].folder == Path("runs/benchmark/folds/walk/fold-1-seed-1")
    assert [runs[0, seed].seed for seed in (0, 1)] == [CONFIG.seed, CONFIG.seed + 1]
    assert runs[0, 0].splits == runs[0, 1].splits != runs[1, 0].splits
    assert runs[0, 0].splits.test_end == runs[1, 0].splits.validation_end
    assert set(runs[0, 0].agents) == {"tft", "ppo", "xgboost", "ensemble", "logistic"}
    assert runs[0, 0].market == TASK.market


def test_own_settings_change_the_key_and_others_do_not(walk: Market) -> None:
    """A setting changes the agents that use it and those that build on them, and no other."""
    trees = replace(CONFIG, xgboost=replace(CONFIG.xgboost, rounds=7))
    assert changed(trees, walk) == {"xgboost", "arbiter"}
    assert changed(replace(CONFIG, logistic=replace(CONFIG.logistic, penalty=0.3)), walk) == {"logistic"}
    assert changed(replace(CONFIG, tft=replace(CONFIG.tft, epochs=3)), walk) == {"tft", "ppo", "arbiter"}
    assert changed(replace(CONFIG, preset="tiny"), walk) == {"tft", "ppo", "arbiter"}
    assert changed(replace(CONFIG, rl=replace(CONFIG.rl, total_steps=3)), walk) == {"ppo", "arbiter"}
    assert changed(replace(CONFIG, arbiter=replace(CONFIG.arbiter, seed=5)), walk) == {"arbiter"}


@pytest.mark.parametrize(
    "change",
    [
        lambda config: replace(config, seed=1),
        lambda config: replace(config, labels=replace(config.labels, horizon_bars=4)),
        lambda config: replace(config, weights=replace(config.weights, overlap=False)),
        lambda config: replace(config, walk=WalkForwardConfig(folds=3)),
        lambda config: replace(config, walk=WalkForwardConfig(folds=2, end="2020-01-20")),
    ],
    ids=["seed", "labels", "weights", "folds", "end"],
)
def test_what_decides_the_rows_changes_every_key(
    walk: Market, change: Callable[[BenchmarkConfig], BenchmarkConfig]
) -> None:
    """Seed, labels, weights and dates are in the key of every agent."""
    assert changed(change(CONFIG), walk) == set(keys(CONFIG, walk))


def test_data_and_costs_change_every_key(walk: Market) -> None:
    """Other bars, or a dearer contract, are other work."""
    before = keys(CONFIG, walk)
    for other in (market(seed=1), market(taker_fee=0.01), market(slippage=0.01)):
        assert not set(before.values()) & set(keys(CONFIG, other).values())


def test_how_results_are_looked_at_changes_no_key(walk: Market) -> None:
    """Names, folders, backends, coin flips, draws, checks and limits leave the work as it is."""
    other = replace(CONFIG, name="other", out=Path("x"), coin_flips=1, bootstrap_draws=7, checks=False)
    assert changed(replace(other, limit_s=5.0, seeds=1, agents=("arbiter", *CONFIG.agents)), walk) == set()


def test_the_code_of_somebodys_agent_is_in_its_key(walk: Market, tmp_path: Path) -> None:
    """A changed file is another agent; ours stay."""
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    config = replace(CONFIG, agents=("logistic", f"{path}:Mine"))
    before = keys(config, walk)
    path.write_text(MINE + "    depth = 2\n", encoding="utf-8")
    after = keys(config, walk)
    assert before["logistic"] == after["logistic"]
    assert before[f"{path}:Mine"] != after[f"{path}:Mine"]


def test_a_trial_is_a_configuration_whatever_its_seed_and_dates(walk: Market) -> None:
    """All folds and seeds of an agent are one trial; other settings of its own are another."""
    jobs = plan_jobs(CONFIG, TASK, [walk])
    for agent in ("ppo", "logistic"):
        assert len({trial_key(job.run, agent, "") for job in jobs}) == 1
    run = jobs[0].run
    other = replace(run, logistic=replace(run.logistic, penalty=0.3))
    assert trial_key(run, "logistic", "") != trial_key(other, "logistic", "")
    assert trial_key(run, "ppo", "") == trial_key(other, "ppo", "")


def test_every_agent_says_what_decides_it() -> None:
    """Needs come first, and their settings count for who builds on them."""
    assert set(NEEDS) == set(SETTINGS)
    run = plan_jobs(CONFIG, TASK, [market()])[0].run
    for agent, names in SETTINGS.items():
        assert all(hasattr(run, name) for name in names)
        needed = {name for need in NEEDS[agent] for name in SETTINGS[need]}
        assert needed <= set(names)
        assert with_needs([agent])[-1] == agent


def test_without_a_name_everybody_known_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, and those that installed packages offer; whoever names some gets those alone."""
    monkeypatch.setattr(benchmark, "entry_point_names", lambda: ("theirs",))
    assert benchmark.chosen_agents(BenchmarkConfig()) == (*OURS, "theirs")
    assert benchmark.chosen_agents(BenchmarkConfig(agents=("logistic",))) == ("logistic",)
