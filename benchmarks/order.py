"""Who can tell the order of two past events: `python benchmarks/order.py [--seeds 3] [--json FILE]`.

The label of a window is the order of two spikes 10 to 40 bars ago, so the newest bar says nothing. XGBoost on
the newest bar and on the whole window stand beside the TFT and the BiLSTM; the first four fifths of the
windows train, the rest are the test. Nobody can do better than the posterior that follows from how the
windows were drawn.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import tyro
import xgboost
from numpy.typing import NDArray

from quantum_trader.agents.bilstm import BiLSTMAgent, bilstm_preset
from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.network_config import NetworkConfig, Preset
from quantum_trader.agents.tft import TFTAgent, tft_preset
from quantum_trader.envs import REFERENCE_SCALER
from quantum_trader.envs.order_windows import OrderConfig, OrderWindows, order_windows
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network import fit_network
from quantum_trader.train.network_config import NetworkTrainConfig


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    seeds: int = 3
    """Tasks to draw, each with a model of its own."""
    windows: int = 30_000
    """Windows of a task."""
    spike: float = 3.0
    """Height of the spikes in deviations of the noise."""
    preset: Preset = "small"
    """Size of the networks."""
    epochs: int = 7
    """Passes over the training windows."""
    learning_rate: float = 5e-4
    """AdamW step size; with 1e-3, the default elsewhere, one seed of three learns nothing."""
    json: Path | None = None
    """Where to write the figures besides printing them."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model on one task."""

    model: str
    seed: int
    accuracy: float
    seconds: float


def main(options: Options) -> None:
    """Measure, print, and write."""
    results = []
    for seed in range(options.seeds):
        task = order_windows(OrderConfig(windows=options.windows, spike=options.spike, seed=seed))
        results += [*_posterior(task, seed), *_trees(task, seed)]
        results.append(_network(TFTAgent, tft_preset(options.preset), task, seed, options))
        results.append(_network(BiLSTMAgent, bilstm_preset(options.preset), task, seed, options))
    for model in dict.fromkeys(result.model for result in results):
        chosen = [result for result in results if result.model == model]
        each = ", ".join(f"{result.accuracy:.3f}" for result in chosen)
        seconds = mean(result.seconds for result in chosen)
        print(f"{model:28s} {mean(result.accuracy for result in chosen):.3f}  ({each})  {seconds:6.1f} s")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


def _split(task: OrderWindows) -> int:
    return len(task.action) * 4 // 5


def _posterior(task: OrderWindows, seed: int) -> list[Result]:
    return [Result(model="best possible", seed=seed, accuracy=task.bayes_accuracy, seconds=0.0)]


def _trees(task: OrderWindows, seed: int) -> list[Result]:
    """XGBoost on the newest bar and on all numbers of the window."""
    inputs = {
        "XGBoost, newest bar": task.windows[:, -1],
        "XGBoost, whole window": task.windows.reshape(len(task.windows), -1),
    }
    return [_tree(name, table, task.action, _split(task), seed) for name, table in inputs.items()]


def _tree(name: str, table: NDArray[np.float32], action: NDArray[np.int8], stop: int, seed: int) -> Result:
    begun = time.perf_counter()
    model = xgboost.XGBClassifier(n_estimators=200, max_depth=5, learning_rate=0.15, max_bin=64, seed=seed)
    model.fit(table[:stop], action[:stop])
    accuracy = float((model.predict(table[stop:]) == action[stop:]).mean())
    return Result(model=name, seed=seed, accuracy=accuracy, seconds=time.perf_counter() - begun)


def _network(
    kind: type[NetworkAgent[Any]], model: NetworkConfig, task: OrderWindows, seed: int, options: Options
) -> Result:
    stop, begun = _split(task), time.perf_counter()
    # The last tenth of the training windows watches over the training; the test stays unseen.
    watch = stop * 9 // 10
    parts = [slice(None, watch), slice(watch, stop), slice(stop, None)]
    train, validation, test = (
        PooledDataset.from_windows(task.windows[part], task.action[part]) for part in parts
    )
    with tempfile.TemporaryDirectory() as folder:
        agent = fit_network(
            kind,
            train,
            validation,
            model=model,
            training=NetworkTrainConfig(
                epochs=options.epochs, learning_rate=options.learning_rate, seed=seed
            ),
            folder=Path(folder) / kind.name,
            work=Path(folder),
            scaler=REFERENCE_SCALER,
            data_sha256=f"order windows {seed}",
        )
    seconds = time.perf_counter() - begun
    signals = agent.signals(test.inputs(np.arange(len(test))))
    accuracy = float((signals.probabilities.argmax(axis=1) == test.action).mean())
    return Result(model=f"{kind.title} {options.preset}", seed=seed, accuracy=accuracy, seconds=seconds)


if __name__ == "__main__":
    main(tyro.cli(Options))
