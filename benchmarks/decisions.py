"""How long the Arbiter takes for a decision, history update included.

python benchmarks/decisions.py [RUN_FOLDER]    default runs/demo, written by `make demo`
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from quantum_trader.agents import load_arbiter
from quantum_trader.envs import Bar, SyntheticConfig, synthetic_bars

WARM_UP, CALLS = 300, 200


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"))
    parser.add_argument("--threads", type=int, default=1, help="torch threads of the TFT")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    results = {str(count): measure(options.run, count, options.threads) for count in (1, 100)}
    print(f"{'symbols':>8} {'p50 ms':>8} {'p99 ms':>8} {'by':>10}")
    for count, found in results.items():
        print(f"{count:>8} {found['p50_ms']:>8.1f} {found['p99_ms']:>8.1f} {found['source']:>10}")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(run: Path, symbols: int, threads: int) -> dict[str, float | str]:
    """Milliseconds of `decide_batch` over so many symbols, one new bar each."""
    arbiter = load_arbiter(run)
    if arbiter.tft is not None:
        arbiter.tft.num_threads = threads
    series = synthetic_bars(SyntheticConfig(bars=WARM_UP + CALLS, volatility=0.003))
    names = [f"S{number}USDT" for number in range(symbols)]
    for name in names:
        arbiter.add_to_history(name, series[:WARM_UP])
    times = []
    for index in range(WARM_UP, WARM_UP + CALLS):
        bar: Bar = series.bar(index)
        started = time.perf_counter()
        decisions = arbiter.decide_batch(dict.fromkeys(names, bar))
        times.append((time.perf_counter() - started) * 1000)
    low, high = np.percentile(times, [50, 99])
    sources = sorted({decision.source for decision in decisions.values()})
    return {"p50_ms": float(low), "p99_ms": float(high), "source": ", ".join(sources)}


if __name__ == "__main__":
    main()
