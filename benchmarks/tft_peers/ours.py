"""This project's network as a contestant, by the code that trains it and answers with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.tft import TFT, TFTAgent, TFTConfig
from quantum_trader.agents.tft.allocator import keep_freed_memory
from quantum_trader.agents.tft.precision import autocast
from quantum_trader.envs import REFERENCE_SCALER
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_trainer import NetworkTrainer, epoch_rows
from tft_peers.cases import Case, Precision
from tft_peers.data import Data
from tft_peers.live import live

Steps = Callable[[], int]


def build(data: Data, model: TFTConfig, case: Case, threads: int) -> Steps:
    """A function that does one step of a case and returns how many windows that were."""
    if case.kind == "train":
        return training(data, model, case)
    if case.kind == "model":
        return forward(data, model, case)
    served = agent(data, model, case.precision, threads)
    if case.kind == "live":
        return live(served, case.batch)
    inputs = data.inputs(case.batch)

    def steps() -> int:
        served.signals(inputs)
        return case.batch

    return steps


def training(data: Data, model: TFTConfig, case: Case) -> Steps:
    """The trainer's own step: gathering the batch, both passes, loss, figures, clipping, AdamW, average."""
    keep_freed_memory()
    torch.manual_seed(0)
    trainer = NetworkTrainer(
        data.rows,
        data.rows.subset(np.arange(1)),
        network=TFT(model),
        config=NetworkTrainConfig(batch_size=case.batch, precision=case.precision, device="cpu"),
        class_weights=(1.0, 1.0, 1.0),
        return_scale=data.scale,
        checkpoint=Path("never-written.pt"),
        config_sha256="",
    )
    trainer.model.train()
    batches = _batches(len(data.rows), case.batch)

    def steps() -> int:
        # What `NetworkTrainer.run` does for each batch; `run` itself would also validate and write files.
        trainer.train_batch(next(batches))
        return case.batch

    return steps


def forward(data: Data, model: TFTConfig, case: Case) -> Steps:
    """The network alone, on tensors."""
    network, inputs = TFT(model).eval(), data.inputs(case.batch)
    windows, context = torch.from_numpy(inputs.windows), torch.from_numpy(inputs.context)

    def steps() -> int:
        with torch.inference_mode(), autocast(case.precision == "bf16"):
            network(windows, context)
        return case.batch

    return steps


def agent(data: Data, model: TFTConfig, precision: Precision, threads: int) -> TFTAgent:
    """An untrained network in service: it takes as long as a trained one."""
    return TFTAgent(
        TFT(model),
        scaler=REFERENCE_SCALER,
        return_scale=data.scale,
        calibration=None,
        provenance=Provenance.now(data_sha256="", seed=0, metrics={}),
        precision=precision,
        num_threads=threads,
    )


def _batches(rows: int, batch: int) -> Iterator[NDArray[np.int64]]:
    """Rows of one batch after the other, in the order of training, without end."""
    epoch = 0
    while True:
        order = epoch_rows(rows, seed=0, epoch=epoch)
        for start in range(0, rows - batch + 1, batch):
            yield order[start : start + batch]
        epoch += 1
