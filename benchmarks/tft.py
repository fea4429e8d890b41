"""Speed of the Temporal Fusion Transformer beside other libraries': `python benchmarks/tft.py`.

Everything gets the same synthetic hourly bars and a network of the same size: 60 bars of 14 observed
features, 6 static numbers, 4 horizons with 4 calendar numbers, width 128, 8 heads, 3 LSTM layers, three
quantiles. A training step is forward pass, loss, backward pass and AdamW, with dropout 0.1; ours also gathers
the batch, counts figures, clips and averages, which the others are spared. One thread by default. Speeds are
by processor time, so that waiting for a busy core does not count, and by the clock on the wall with more
threads. Each figure is the best of several rounds, since other load can only slow a round down, and the
rounds of one case alternate, so that all see the same load.

"no knots" is our network with the GRN of every feature evaluated on every value, as in the paper and by the
other libraries, instead of between knots.

The same run measures how fast large matrix products are on this machine, counts those of a training step,
and says what share of that speed the step reaches and where the rest of its time goes.

Other libraries' networks run in worker processes. Those that the interpreter of `--peers-python` or else this
one can import are measured; `make bench-tft` builds an environment that has them all.
"""

from __future__ import annotations

import os

# Before anything that starts threads is imported; the workers inherit it. `--threads` is torch's own setting.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["NUMEXPR_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from peers.clock import speed
from peers.processes import Worker, workers
from peers.rounds import Contestant, measure
from tft_peers import ours, peak
from tft_peers.cases import PRECISIONS, Case, Kind
from tft_peers.data import Data
from tft_peers.flops import count
from tft_peers.parts import Breakdown, breakdown
from tft_peers.report import Report
from tft_peers.sections import SECTIONS
from tft_peers.table import NO_DROPOUT, Result, Size

from quantum_trader.agents.network import parameter_count
from quantum_trader.agents.network_config import Preset
from quantum_trader.agents.tft import TFT, TFTConfig, tft_preset

PACKAGES = ("quantum-trader", "torch", "numpy")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    json: Path | None = None
    """Where to write the figures as JSON besides printing them."""
    presets: tuple[Preset, ...] = ("paper", "small")
    """Sizes of our network; the first is compared with the peers, which get its size."""
    threads: int = 1
    """Torch threads of everything; 1 counts processor time, more count time on the wall."""
    batch: int = 128
    """Windows in a training step."""
    calls: tuple[int, ...] = (1, 100)
    """Windows, or symbols, in a call for an answer."""
    seconds: float = 1.0
    """Length of a round, which ends with the step that reaches it; raising it makes figures steadier."""
    rounds: int = 5
    """Rounds per figure, the best of which counts."""
    peers_python: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Interpreter with peers installed. Repeat it for several: the first that can import a peer runs it."""
    peers_keep_memory: bool = False
    """Keep freed memory in the peers' processes too, as our training does by itself; needs glibc."""
    quick: bool = False
    """The tiny preset and one short round, to see that everything runs; the figures mean nothing."""


def main(options: Options) -> None:
    """Measure, print, and write."""
    if options.quick:
        options = replace(options, presets=("tiny",), batch=8, calls=(1, 2), seconds=0.0, rounds=1)
    torch.set_num_threads(options.threads)
    report = run(options)
    print(report.text())
    if options.json is not None:
        options.json.write_text(report.json() + "\n", encoding="utf-8")


def run(options: Options) -> Report:
    """Measure everything."""
    data = Data.synthetic()
    models = _models(options)
    reference, model = next(iter(models.items()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "task.npz")
        task = data.task(
            model, batch=options.batch, threads=options.threads, keep_memory=options.peers_keep_memory
        )
        task.save(path)
        with workers((*options.peers_python, Path(sys.executable)), path, "tft_peers") as (running, missing):
            versions = {name: worker.versions for name, worker in running.items()}
            sizes = _sizes(data, models, running, options)
            results = contest(data, models, running, options)
    return Report(
        options=_plain(options),
        reference=reference,
        versions={"quantum-trader": {name: version(name) for name in PACKAGES}, **versions},
        missing=missing,
        sizes=sizes,
        results=[_of_networks(each) for each in results],
        peaks={each.case.precision: _of_products(each) for each in results if each.case.kind == "train"},
        breakdowns=_breakdowns(data, model, options),
    )


def contest(
    data: Data, models: Mapping[str, TFTConfig], peers: Mapping[str, Worker], options: Options
) -> list[Result]:
    """All cases, one after the other; in each the rounds of all contestants alternate."""
    results = []
    for case in _cases(options):
        contestants = [
            *_ours(data, models, case, options),
            *_of_peers(peers, case, options),
            *_bare_products(case, options),
        ]
        figures = measure(contestants, rounds=options.rounds, seconds=options.seconds, warm_up=1)
        results.append(Result(case=case, figures=tuple(figures)))
    return results


def _models(options: Options) -> dict[str, TFTConfig]:
    """Our networks by name; the first is the one that others are compared with."""
    models = {f"quantum-trader, {name}": tft_preset(name) for name in options.presets}
    reference, model = next(iter(models.items()))
    return {**models, f"{reference}, no knots": replace(model, knots=0)}


def _cases(options: Options) -> Iterator[Case]:
    for precision in PRECISIONS:
        yield Case(kind="train", precision=precision, batch=options.batch)
    kinds: tuple[Kind, ...] = ("model", "predict", "live")
    for kind in kinds:
        for batch in options.calls:
            for precision in PRECISIONS:
                yield Case(kind=kind, precision=precision, batch=batch)


def _ours(data: Data, models: Mapping[str, TFTConfig], case: Case, options: Options) -> Iterator[Contestant]:
    reference, first = next(iter(models.items()))
    contestants = dict(models)
    if case.kind == "train":
        contestants[NO_DROPOUT.format(name=reference)] = replace(first, dropout=0.0)
    for name, model in contestants.items():
        steps = ours.build(data, model, case, options.threads)
        yield Contestant(what=name, accounts=case.batch, run=partial(speed, steps, wall=options.threads > 1))


def _of_peers(peers: Mapping[str, Worker], case: Case, options: Options) -> Iterator[Contestant]:
    if case.kind == "live":
        return
    for name, worker in peers.items():
        yield Contestant(
            what=name,
            accounts=case.batch,
            run=partial(worker.round, case.key, wall=options.threads > 1),
        )


def _bare_products(case: Case, options: Options) -> Iterator[Contestant]:
    """What large products of matrices reach, in the rounds of training and so under the same load."""
    if case.kind != "train":
        return
    for name, steps in peak.products(case.precision, size=64 if options.quick else peak.SIZE).items():
        yield Contestant(what=name, accounts=1, run=partial(speed, steps, wall=options.threads > 1))


def _sizes(
    data: Data, models: Mapping[str, TFTConfig], peers: Mapping[str, Worker], options: Options
) -> dict[str, Size]:
    case = Case(kind="train", precision="fp32", batch=options.batch)
    sizes = {
        name: Size(
            parameters=parameter_count(TFT(model)),
            flops=count(ours.training(data, model, case)),
            batch=options.batch,
        )
        for name, model in models.items()
    }
    return sizes | {name: Size(**worker.facts(), batch=options.batch) for name, worker in peers.items()}


def _of_networks(result: Result) -> Result:
    return replace(result, figures=tuple(each for each in result.figures if each.what not in peak.WAYS))


def _of_products(result: Result) -> dict[str, float]:
    return {each.what: each.steps_per_second for each in result.figures if each.what in peak.WAYS}


def _breakdowns(data: Data, model: TFTConfig, options: Options) -> dict[str, Breakdown]:
    """After the contest, so that the profiler disturbs no figure."""
    cases = {name: Case(kind="train", precision=name, batch=options.batch) for name in PRECISIONS}
    return {name: breakdown(ours.training(data, model, case), SECTIONS) for name, case in cases.items()}


def _plain(options: Options) -> dict[str, Any]:
    """The options as JSON has them, without paths."""
    kept = {name: value for name, value in asdict(options).items() if name not in ("json", "peers_python")}
    return {**kept, "clock": "processor" if options.threads == 1 else "wall"}


if __name__ == "__main__":
    main(tyro.cli(Options))
