"""How long and how much memory it takes to turn bars into a training set.

python benchmarks/dataset.py                 15 synthetic symbols of 21,888 hourly bars (328,320 in all)
python benchmarks/dataset.py --data FOLDER   files of one's own
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from quantum_trader.envs import Bars, Market, SyntheticConfig, guess_preset, read_folder, synthetic_bars
from quantum_trader.train import DataConfig, prepare

SYMBOLS, BARS = 15, 21_888


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    series = synthetic() if options.data is None else None
    before, started = peak_mb(), time.perf_counter()
    bars = series if series is not None else read_folder(options.data, None)
    markets = [Market.build(item, guess_preset(item.symbol)) for item in bars]
    built = time.perf_counter()
    prepared = prepare(markets, DataConfig())
    done = time.perf_counter()
    rows = np.random.default_rng(0).integers(0, len(prepared.train), (200, 128))
    for batch in rows:
        prepared.train.batch(batch)
    gathered = time.perf_counter()

    result = {
        "bars": sum(len(item) for item in bars),
        "training_rows": len(prepared.train),
        "seconds_features": built - started,
        "seconds_labels_and_splits": done - built,
        "milliseconds_per_batch_of_128": (gathered - done) / len(rows) * 1000,
        "peak_mb_above_imports": peak_mb() - before,
        "all_windows_copied_would_be_mb": len(prepared.train) * 60 * 14 * 4 / 1e6,
    }
    for name, value in result.items():
        print(f"{name:<32} {value:,.2f}" if isinstance(value, float) else f"{name:<32} {value:,}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def synthetic() -> list[Bars]:
    """As many bars as two and a half years of 15 perpetuals have."""
    return [
        synthetic_bars(SyntheticConfig(bars=BARS, seed=seed, symbol=f"S{seed}USDT"))
        for seed in range(SYMBOLS)
    ]


def peak_mb() -> float:
    """Peak memory of this process so far; macOS counts bytes, Linux kilobytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


if __name__ == "__main__":
    main()
