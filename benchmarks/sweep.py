"""How much faster a sweep is on several workers: `python benchmarks/sweep.py [--json FILE]`.

The sweep is 8 folds x 5 seeds x 4 light agents (two logistic regressions, two small XGBoosts) on the embedded
sample, every job on one thread. Nothing waits for anything else, so what stands between two workers and twice
the speed is the machine: two hardware threads may share one core, and all share caches and memory. Therefore
the same run measures what as many independent processes of pure arithmetic reach over one.

Rounds of all cases alternate, so that they see the same load, and the best of each counts, since other load
can only slow a round down. By the wall, other load still takes cores away from the larger number of workers
first; the last column compares processor time, in which waiting for a busy core does not count.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Literal

import tyro
from peers.machine import machine
from sweep_parts.ceiling import Loops, loops
from sweep_parts.jobs import AGENTS, Done, Job, fit

from quantum_trader.evaluate.sweep.backends import BackendConfig, run_jobs

PACKAGES = ("quantum-trader", "joblib", "numpy", "scikit-learn", "xgboost")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    backend: Literal["joblib", "ray"] = "joblib"
    """What starts the workers."""
    workers: tuple[int, ...] = (1, 2)
    """Numbers of workers; the first is what the others are compared with."""
    folds: int = 8
    """Folds of the sweep; later ones have more training rows."""
    seeds: int = 5
    """Seeds of every agent."""
    rounds: int = 3
    """Rounds of each case, the best of which counts."""
    seconds: float = 2.0
    """Length of a round of arithmetic."""
    json: Path | None = None
    """Where to write the figures besides printing them."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One sweep on so many workers."""

    workers: int
    seconds: float
    """From the call to its return, start and end of the workers included."""
    jobs_per_s: float
    """Jobs a second once a worker has done its first, which loads libraries and data, summed over workers."""
    processor_s_per_job: float
    """Processor seconds of a job, first ones excepted."""


def main(options: Options) -> None:
    """Measure, print, and write JSON where asked."""
    jobs = [
        Job(agent=agent, fold=fold, folds=options.folds, seed=seed)
        for fold, seed, agent in product(range(options.folds), range(options.seeds), AGENTS)
    ]
    sweeps: dict[int, list[Sweep]] = {count: [] for count in options.workers}
    bare: dict[int, list[Loops]] = {count: [] for count in options.workers}
    for number in range(options.rounds):
        for count in options.workers:
            bare[count].append(loops(count, options.seconds))
            sweeps[count].append(sweep(jobs, count, options.backend))
            print(f"round {number + 1}: {count} workers, {sweeps[count][-1].seconds:.1f} s", file=sys.stderr)
    print(f"{len(jobs)} jobs, {options.backend}; best of {options.rounds} rounds\n")
    print(table(len(jobs), sweeps, bare))
    if options.json is not None:
        found = {
            "options": asdict(options) | {"json": str(options.json)},
            "machine": machine(),
            "packages": {name: version(name) for name in PACKAGES},
            "sweeps": {count: [asdict(each) for each in rounds] for count, rounds in sweeps.items()},
            "loops": {count: [asdict(each) for each in rounds] for count, rounds in bare.items()},
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def sweep(jobs: Sequence[Job], workers: int, backend: Literal["joblib", "ray"]) -> Sweep:
    """Run all jobs once."""
    told: dict[int, list[Done]] = {}
    begun = time.monotonic()
    run_jobs(
        fit,
        jobs,
        BackendConfig(backend=backend, workers=workers),
        lambda _, done: told.setdefault(done.worker, []).append(done),
    )
    seconds = time.monotonic() - begun
    rates, used = [], []
    for each in told.values():
        first, *rest = sorted(each, key=lambda done: done.ended)
        if rest:
            rates.append(len(rest) / (rest[-1].ended - first.ended))
            used += [done.processor_s for done in rest]
    return Sweep(
        workers=workers,
        seconds=seconds,
        jobs_per_s=sum(rates),
        processor_s_per_job=sum(used) / max(len(used), 1),
    )


def table(jobs: int, sweeps: dict[int, list[Sweep]], bare: dict[int, list[Loops]]) -> str:
    """Speeds, and how often that of the first number of workers."""
    head = f"{'':<34}{'workers':>8}{'a second':>12}{'speed-up':>10}{'processor time':>16}"
    lines = [head, *_rows("million loops, no sweep", *_bare(bare))]
    whole = {count: max(jobs / each.seconds for each in rounds) for count, rounds in sweeps.items()}
    warm = {count: max(each.jobs_per_s for each in rounds) for count, rounds in sweeps.items()}
    per_processor = {
        count: count / min(each.processor_s_per_job for each in rounds) for count, rounds in sweeps.items()
    }
    lines += _rows("jobs, workers warm", warm, per_processor)
    lines += _rows("jobs, start of workers included", whole, None)
    base, most = next(iter(sweeps)), max(sweeps)
    ceiling = _bare(bare)
    share = [
        (speeds[most] / speeds[base]) / (limit[most] / limit[base])
        for speeds, limit in zip((warm, per_processor), ceiling, strict=True)
    ]
    lines.append(
        f"\n{most} workers reach {share[0]:.0%} of what this machine gives {most} processes over {base}, "
        f"{share[1]:.0%} by processor time."
    )
    return "\n".join(lines)


def _bare(bare: dict[int, list[Loops]]) -> tuple[dict[int, float], dict[int, float]]:
    """Million loops a second by the wall and by processor time."""
    wall = {count: max(each.wall for each in rounds) / 1e6 for count, rounds in bare.items()}
    processor = {count: max(each.processor for each in rounds) / 1e6 for count, rounds in bare.items()}
    return wall, processor


def _rows(what: str, speeds: dict[int, float], processor: dict[int, float] | None) -> list[str]:
    base = next(iter(speeds))
    lines = []
    for count, speed in speeds.items():
        by_processor = "" if processor is None else f"{processor[count] / processor[base]:.2f} x"
        lines.append(f"{what:<34}{count:>8}{speed:>12.2f}{speed / speeds[base]:>8.2f} x{by_processor:>16}")
    return lines


if __name__ == "__main__":
    main(tyro.cli(Options))
