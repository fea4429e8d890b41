"""How long decisions take in service: `python benchmarks/serving.py [RUN_FOLDER]`.

Measured are one symbol and a hundred in one call, history update included, in three ways: the Arbiter in
this process, the same with a journal that has each decision on disk before it is given out, and over HTTP to
`quantum-trader serve` on this machine, with a journal too. The ways take turns of 150 calls, so that all see
the same load. Then many clients ask the service at once for a while, and many decisions in a row show whether
memory grows.

The default run is what `make demo` leaves: the full-size TFT, PPO and XGBoost, all asked for every decision.
Where a fallback had to decide, the line says so. Other load on the machine shows in p99 first.
"""

from __future__ import annotations

import os

# Before anything imports torch; the service inherits it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import tyro
from peers.machine import bf16_instructions, machine
from serving_parts.crowd import crowd
from serving_parts.feed import Feed
from serving_parts.hold_ups import WINDOW_S, most_lost_ms
from serving_parts.latency import REST_S, UNTIMED, latencies
from serving_parts.memory import MARKS, Soak, soak
from serving_parts.report import Limit, Report
from serving_parts.routes import InProcess, Journaled, OverHttp, Route
from serving_parts.service import service

PACKAGES = ("quantum-trader", "torch", "xgboost", "numpy", "fastapi", "uvicorn")
PAST = 300
"""Bars before the first decision: enough for every indicator."""
KEPT_BARS = 1_000
"""Bars that each symbol's history keeps while memory is watched, full from the start."""
SPARE_BARS = 1_000
HOLD_UPS_S = 12.0
"""Seconds in which the machine's own hold-ups are looked for; some come every few seconds only."""
ONE_MS, MANY_MS = 30.0, 50.0
"""Limits of p99 in process: for one symbol, and for all of a call."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    run: Annotated[Path, tyro.conf.Positional] = Path("runs/demo")
    """Folder of a finished run."""
    json: Path | None = None
    """Where to write the figures as JSON besides printing them."""
    symbols: int = 100
    """Symbols of the large call."""
    calls: int = 300
    """Calls of each size on each way; raising it makes p99 steadier."""
    clients: int = 100
    """Clients that ask the service at once."""
    seconds: float = 20.0
    """How long they ask."""
    decisions: int = 100_000
    """Decisions while memory is watched, with and without a journal; 0 leaves it out."""
    volatility: float = 0.0005
    """Typical deviation of a bar's log return. Much more than in the run's data is out of distribution, and
    XGBoost decides alone."""
    http: bool = True
    """Whether to start the service; it needs the extra "service"."""
    quick: bool = False
    """Few of everything, to see that it runs; the figures mean nothing."""


def main(options: Options) -> None:
    """Measure, print, and write."""
    if options.quick:
        options = replace(options, symbols=5, calls=4, clients=3, seconds=1.0, decisions=100)
    if not (options.run / "models").is_dir():
        sys.exit(f"{options.run} is no finished run: make one with `make demo`, or name another.")
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options, Path(folder))
    print(report.text())
    if options.json is not None:
        options.json.write_text(report.json() + "\n", encoding="utf-8")


def measure(options: Options, folder: Path) -> Report:
    """Everything; journals are kept in `folder`."""
    report = Report(
        machine={**machine(), **bf16_instructions(), **_load(options)},
        versions={name: version(name) for name in PACKAGES},
        options={
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()
        },
        limits=(
            Limit(route=InProcess.name, symbols=1, p99_ms=ONE_MS),
            Limit(route=InProcess.name, symbols=options.symbols, p99_ms=MANY_MS),
        ),
    )
    with ExitStack() as stack:
        routes: list[Route] = [
            InProcess(options.run),
            Journaled(options.run, folder / "desk.sqlite"),
        ]
        if options.http:
            address = stack.enter_context(service(options.run, folder / "service.sqlite"))
            routes.append(OverHttp(address))
        for route in routes:
            stack.callback(route.close)
        feed = Feed(PAST, UNTIMED + options.calls, options.volatility)
        rest_s = 0.1 if options.quick else REST_S
        for count in (1, options.symbols):
            report.latencies.extend(latencies(routes, feed, count, options.calls, rest_s=rest_s))
        if options.http:
            many = Feed(PAST, 1_000 + int(options.seconds * 100), options.volatility)
            found = crowd(address, many, options.clients, options.seconds)
            report = replace(report, crowd=found)
    report.soaks.extend(_soaks(options, folder))
    return report


def _soaks(options: Options, folder: Path) -> Iterator[Soak]:
    """With full histories, so that what grows is no history."""
    if options.decisions == 0:
        return
    calls = max(options.decisions // options.symbols, MARKS)
    feed = Feed(KEPT_BARS + SPARE_BARS, calls, options.volatility)
    plain = InProcess(options.run, kept_bars=KEPT_BARS, patient=True)
    yield soak(plain, feed, options.symbols, options.decisions)
    journal = folder / "soak.sqlite"
    journaled = Journaled(options.run, journal, kept_bars=KEPT_BARS, patient=True)
    yield soak(journaled, feed, options.symbols, options.decisions, journal)
    journaled.close()


def _load(options: Options) -> dict[str, float]:
    """What else the machine has to do: processes that want a core, and milliseconds that it takes away."""
    load = {"load": round(os.getloadavg()[0], 2)} if hasattr(os, "getloadavg") else {}
    lost = most_lost_ms(0.1 if options.quick else HOLD_UPS_S)
    return load | {f"most ms lost in {WINDOW_S:g} s": round(lost, 1)}


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
