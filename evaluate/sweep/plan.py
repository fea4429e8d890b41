"""From tasks, agents, folds and seeds to jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, cast

from quantum_trader.agents.folder import data_digest
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.run_config import AgentName, ExperimentConfig, RunConfig
from quantum_trader.evaluate.suite.registry import source_digest
from quantum_trader.evaluate.suite.tasks import Task
from quantum_trader.evaluate.sweep.agents import NEEDS, is_built_in, with_needs
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.folds import fold_splits
from quantum_trader.evaluate.sweep.job import Job, job_key
from quantum_trader.train.data_config import SplitConfig


def plan_jobs(config: BenchmarkConfig, task: Task, markets: Sequence[Market]) -> tuple[Job, ...]:
    """Every agent on every fold with every seed, fold by fold, what is needed before what needs it."""
    agents = with_needs(config.agents)
    sources = {agent: "" if is_built_in(agent) else source_digest(agent) for agent in agents}
    data = data_hash(markets)
    found = []
    for fold, splits in enumerate(fold_splits(markets, config.walk)):
        for seed in range(config.seeds):
            run = fold_run(config, task, splits, fold, seed, agents)
            keys: dict[str, str] = {}
            for agent in agents:
                needs = tuple(keys[need] for need in NEEDS.get(agent, ()))
                keys[agent] = job_key(run, agent, data, needs, sources[agent])
                found.append(
                    Job(
                        task=task.name,
                        agent=agent,
                        fold=fold,
                        seed=seed,
                        run=run,
                        key=keys[agent],
                        source=sources[agent],
                        needs=needs,
                        folder=config.folder / "jobs" / keys[agent],
                        limit_s=config.limit_s,
                    )
                )
    return tuple(found)


def fold_run(
    config: BenchmarkConfig,
    task: Task,
    splits: SplitConfig,
    fold: int,
    seed: int,
    agents: Sequence[str],
) -> RunConfig:
    """A fold as an ordinary run, which `quantum-trader explain` and `evaluate` read too."""
    shared: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(ExperimentConfig)}
    ours = tuple(cast("AgentName", agent) for agent in agents if is_built_in(agent) and agent != "arbiter")
    run = RunConfig(**shared, splits=splits, agents=ours)
    return replace(
        run,
        name=f"fold-{fold}-seed-{seed}",
        out=config.folder / "folds" / task.name,
        market=task.market,
        seed=config.seed + seed,
    )


def data_hash(markets: Sequence[Market]) -> str:
    """Hash of the bars and of what trading them costs."""
    bars = data_digest([market.bars.digest for market in markets])
    return json_sha256({"bars": bars, "contracts": [to_plain(market.contract) for market in markets]})
