"""A training small enough for several processes on one machine, and what they do when torchrun starts this.

`python -m torch.distributed.run --standalone --nproc-per-node 2 tests/train/shared_fit.py FOLDER`
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.files import write_json
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import PlantedConfig, planted_bars
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import Batch, PooledDataset
from quantum_trader.train.launch import Launch
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.tft import fit_tft

TRAINING = NetworkTrainConfig(
    epochs=2,
    batch_size=64,
    max_samples=700,
    max_validation_samples=600,
    class_weights="sqrt",
    precision="fp32",
    seed=5,
)
"""Five batches of 2 x 64 or of 128 rows an epoch, two batches of validation rows."""


def data() -> Prepared:
    """Purged rows of a planted market, unequally weighed."""
    bars = planted_bars(PlantedConfig(bars=3_000)).bars
    prepared = prepare([Market.build(bars, FuturesContract(name="test"))], DataConfig())
    prepared.train.weight[:] = np.linspace(0.5, 2.0, len(prepared.train))
    return prepared


def fit(
    prepared: Prepared,
    folder: Path,
    training: NetworkTrainConfig = TRAINING,
    *,
    dropout: float = 0.0,
    train: PooledDataset | None = None,
) -> list[EpochReport]:
    """Fit into `folder`; returns what the first process was told of the epochs, and writes their figures."""
    reports: list[EpochReport] = []
    fit_tft(
        train if train is not None else prepared.train,
        prepared.validation,
        model=replace(tft_preset("tiny"), dropout=dropout),
        training=training,
        folder=folder / "model",
        work=folder,
        scaler=prepared.scaler,
        data_sha256=prepared.data_sha256,
        on_epoch=reports.append,
    )
    if Launch.here().first:
        write_json(folder / "figures.json", [figures(report) for report in reports])
    return reports


def figures(report: EpochReport) -> list[float]:
    """Numbers by which two trainings are compared."""
    return [part for side in (report.train, report.validation) for part in (side.loss, side.accuracy)]


class Hooked:
    """A dataset that does something at the n-th batch."""

    def __init__(self, dataset: PooledDataset, at: int, action: Callable[[], None]) -> None:
        self._dataset, self._left, self._action = dataset, at, action

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def subset(self, rows: Any) -> Any:
        """The rows, with the same hook."""
        return Hooked(self._dataset.subset(rows), self._left, self._action)

    def batch(self, rows: Any) -> Batch:
        """The rows; the n-th time something happens first."""
        self._left -= 1
        if self._left == 0:
            self._action()
        return self._dataset.batch(rows)


def press_ctrl_c() -> None:
    """Ctrl-C in this process."""
    os.kill(os.getpid(), signal.SIGINT)


def main(folder: Path) -> None:
    """Plain, whole with dropout, the same cut off and taken up again, and plain cut off."""
    prepared, rank = data(), Launch.here().rank
    fit(prepared, folder / "plain")
    fit(prepared, folder / "whole", dropout=0.2)
    for name, dropout, who in (("cut", 0.2, 1), ("moved", 0.0, 0)):
        train: Any = Hooked(prepared.train, 7, press_ctrl_c) if rank == who else prepared.train
        with suppress(KeyboardInterrupt):
            fit(prepared, folder / name, dropout=dropout, train=train)
            raise AssertionError("the training was not cut off")
        assert not (folder / name / "model").exists()
    fit(prepared, folder / "cut", dropout=0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
