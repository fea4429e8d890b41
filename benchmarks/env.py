"""Environment steps per second beside other environments: `python benchmarks/env.py [--json FILE]`.

Everything gets the same 10,000 synthetic hourly bars, 14 features, windows of 60 bars and random actions
drawn beforehand; leverage 5 and a fee of 0.05 % where an environment has them; one thread. Resets count.
Speeds are steps per second of processor time, so that waiting for a busy core does not count. Each figure is
the best of several rounds, since other load can only slow a round down, and the rounds of one size alternate,
so that all see the same load.

Other people's environments run in worker processes. Those that the interpreter of `--peers-python` or else
this one can import are measured; `make bench-peers` builds an environment that has them all.
"""

from __future__ import annotations

import os

# Before anything that starts threads is imported; the workers inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["NUMEXPR_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import tyro
from peers import ours
from peers.machine import machine
from peers.processes import Worker, workers
from peers.registry import PEERS
from peers.rounds import Contestant, Figure, measure
from peers.table import TARGETS, noise, ratios, table, targets_text, verdict
from peers.task import Task

from quantum_trader.envs import Market, SyntheticConfig, preset, synthetic_bars

PACKAGES = ("quantum-trader", "numpy", "numba", "gymnasium", "stable_baselines3")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    json: Path | None = None
    """Where to write the figures as JSON besides printing them."""
    sizes: tuple[int, ...] = (64, 256, 1024, 4096)
    """Numbers of accounts in the vector environments."""
    seconds: float = 0.4
    """Length of a round; raising it makes figures steadier."""
    rounds: int = 7
    """Rounds per figure, the best of which counts."""
    warm_up: int = 500
    """Steps of each account before the first round; 500 is the longest episode."""
    peers_python: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Interpreter with peers installed. Repeat it for several: the first that can import a peer runs it."""
    quick: bool = False
    """Two rounds of 20 ms at N=64 only, to see that everything runs; the figures mean nothing."""


def main(options: Options) -> None:
    """Measure, print, and write."""
    if options.quick:
        options = replace(options, sizes=(64,), seconds=0.02, rounds=2, warm_up=0)
    market = Market.build(synthetic_bars(SyntheticConfig(bars=10_000)), preset("binance-btc"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "task.npz")
        task_for_peers(market).save(path)
        with workers((*options.peers_python, Path(sys.executable)), path) as (running, missing):
            figures = contest(market, running, options)
            versions = {name: worker.versions for name, worker in running.items()}
    verdicts = [verdict(target, figures) for target in TARGETS]
    print(table(figures))
    print(f"\nThe median round stayed {noise(figures):.0%} behind the best: other load, for the most part.")
    for name, reason in missing.items():
        print(f"{name} not installed ({reason}): pip install {PEERS[name].requirement}; see --peers-python.")
    print(f"\nTargets\n{targets_text(verdicts)}")
    if options.json is not None:
        document = {
            "machine": machine(),
            "versions": {"ours": {name: version(name) for name in PACKAGES}, **versions},
            "not_installed": missing,
            "rounds": {
                "number": options.rounds,
                "seconds": options.seconds,
                "warm_up": options.warm_up,
            },
            "figures": [asdict(figure) for figure in figures],
            "ratios": [asdict(ratio) for ratio in ratios(figures)],
            "targets": [asdict(each) for each in verdicts],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def contest(market: Market, peers: Mapping[str, Worker], options: Options) -> list[Figure]:
    """First what steps one account, then each number of accounts."""
    run = partial(measure, rounds=options.rounds, seconds=options.seconds, warm_up=options.warm_up)
    figures = run([*ours.singles(market), *_of_peers(peers, 1, vectorised=False)])
    for accounts in options.sizes:
        figures += run([*ours.batched(market, accounts), *_of_peers(peers, accounts, vectorised=True)])
    return figures


def _of_peers(peers: Mapping[str, Worker], accounts: int, *, vectorised: bool) -> list[Contestant]:
    return [
        Contestant(what=name, accounts=accounts, run=partial(worker.round, accounts))
        for name, worker in peers.items()
        if PEERS[name].vectorised == vectorised
    ]


def task_for_peers(market: Market) -> Task:
    """The market's bars, and the features that our windows are cut from."""
    bars = market.bars
    return Task(
        timestamp=bars.timestamp,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
        features=market.table,
        window=ours.CONFIG.window,
        episode_bars=ours.CONFIG.episode_bars,
        leverage=ours.CONFIG.leverage,
        fee=market.contract.taker_fee,
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
