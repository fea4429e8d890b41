"""`fit_tft`: from datasets to a calibrated TFT in a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.calibration import fit_calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.signals import Signals
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.allocator import keep_freed_memory
from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.model import TFT
from quantum_trader.agents.tft.precision import torch_threads
from quantum_trader.agents.tft.scaling import ReturnScale, fit_return_scale
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.interrupt import HeldInterrupt
from quantum_trader.train.tables import (
    hold_share,
    validation_metrics,
)
from quantum_trader.train.tft_config import TFTTrainConfig
from quantum_trader.train.tft_figures import EpochReport
from quantum_trader.train.tft_log import TFTLog
from quantum_trader.train.tft_trainer import TFTTrainer
from quantum_trader.train.weights import class_weights

_SCALE_ROWS = 20_000
_CHUNK = 8_192


def fit_tft(
    train: PooledDataset,
    validation: PooledDataset,
    *,
    model: TFTConfig,
    training: TFTTrainConfig,
    folder: Path,
    work: Path,
    scaler: FeatureScaler,
    data_sha256: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> TFTAgent:
    """Train, keep the weights that do best on validation, calibrate, write the model folder.

    Training that was cut off goes on from its last checkpoint, to the same numbers as if it had not been. The
    seed decides everything: torch's own random state and threads are as before when this returns.

    Args:
        train: rows to learn from; all markets scaled by `scaler`.
        validation: later rows, for early stopping and the temperature; figures on them flatter a little.
        model: shape of the network.
        training: how to fit it.
        folder: the model folder to write; one that stands there is replaced.
        work: checkpoints go to `work/checkpoints/tft.pt`, logs to `work/tensorboard/tft`.
        scaler: what the features were scaled with, kept with the model.
        data_sha256: hash of the data, kept as provenance and checked on resuming.
        on_epoch: called after each epoch.

    Raises:
        TrainingError: no rows, a loss that is not finite, memory that ran out, or a checkpoint of another
            configuration.
        KeyboardInterrupt: Ctrl-C; a checkpoint has been written first.
    """
    for name, dataset in (("training", train), ("validation", validation)):
        if len(dataset) == 0:
            raise TrainingError(f"There are no {name} rows: give longer data or move the split dates.")
    keep_freed_memory()
    train = _thinned(train, training.max_samples)
    watched = _thinned(validation, training.max_validation_samples)
    scale = _return_scale(train, scaler)
    weights = class_weights(train.action, training.class_weights)
    with torch_threads(training.num_threads), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(training.seed)
        trainer = TFTTrainer(
            train,
            watched,
            model=model,
            config=training,
            class_weights=tuple(weights.tolist()),
            return_scale=scale,
            checkpoint=work / "checkpoints" / "tft.pt",
            config_sha256=_identity(model, training, data_sha256, len(train), len(watched)),
        )
        with (
            HeldInterrupt() as interrupt,
            TFTLog(work / "tensorboard" / "tft", first_step=trainer.step) as log,
        ):
            network = trainer.run(log, interrupt, on_epoch)
        _undo_class_weights(network, weights)
        agent = TFTAgent(
            network,
            scaler=scaler,
            return_scale=scale,
            calibration=None,
            provenance=Provenance.now(data_sha256=data_sha256, seed=training.seed, metrics={}),
            precision=training.precision,
        )
        metrics = {"best_epoch": float(trainer.best_epoch), "epochs": float(trainer.epoch)}
        _calibrate(agent, train, validation, metrics)
    agent.save(folder)
    return TFTAgent.load(folder, precision=training.precision)


def _identity(
    model: TFTConfig, training: TFTTrainConfig, data_sha256: str, rows: int, validation_rows: int
) -> str:
    """Hash of everything that decides how training goes on."""
    # How often it is saved and on how many threads it runs may change between two parts of one training.
    settings = replace(training, checkpoint_every=0, num_threads=0)
    return json_sha256(
        {
            "model": to_plain(model),
            "training": to_plain(settings),
            "data": data_sha256,
            "rows": [rows, validation_rows],
        }
    )


def _thinned(dataset: PooledDataset, most: int) -> PooledDataset:
    """At most `most` rows of `dataset`, evenly spaced in time; 0 takes all."""
    if most == 0 or len(dataset) <= most:
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, most).astype(np.int64))


def _return_scale(train: PooledDataset, scaler: FeatureScaler) -> ReturnScale:
    sample = _thinned(train, _SCALE_ROWS)
    windows = sample.windows(np.arange(len(sample)))
    return fit_return_scale(windows[:, -1], sample.returns, scaler)


def _undo_class_weights(network: TFT, weights: NDArray[np.float64]) -> None:
    """Weighted cross entropy learns p_c w_c / sum; taking ln w_c off the logits gives p_c back."""
    with torch.no_grad():
        network.decide.linear.bias.sub_(torch.from_numpy(np.log(weights)).float())


def _calibrate(
    agent: TFTAgent, train: PooledDataset, validation: PooledDataset, metrics: dict[str, float]
) -> None:
    """Fit the temperature on all validation rows and note the calibrated agent's figures there."""
    parts = [
        agent.signals(validation.inputs(np.arange(start, min(start + _CHUNK, len(validation)))))
        for start in range(0, len(validation), _CHUNK)
    ]
    raw = np.concatenate([part.probabilities for part in parts])
    agent.calibration = fit_calibration(raw, validation.action, hold_share=hold_share(train))
    metrics |= validation_metrics(train, validation, agent.calibration.apply(raw))
    metrics |= _accuracies(parts, validation)
    agent.provenance = replace(agent.provenance, metrics=metrics)


def _accuracies(parts: list[Signals], validation: PooledDataset) -> dict[str, float]:
    """Accuracy over three classes, direction accuracy where the label is not HOLD, and quantile coverage."""
    actions = np.concatenate([part.actions for part in parts])
    directions = np.concatenate([part.direction for part in parts])
    quantiles = np.concatenate([part.quantiles for part in parts if part.quantiles is not None])
    moved = validation.action != Action.HOLD
    known = np.isfinite(validation.returns)
    low, high = quantiles[..., 0], quantiles[..., -1]
    inside = (validation.returns >= low) & (validation.returns <= high)
    figures = {"validation_accuracy": float((actions == validation.action).mean())}
    if moved.any():
        right = directions[moved] == validation.action[moved]
        figures["validation_direction_accuracy"] = float(right.mean())
    if known.any():
        figures["validation_quantile_coverage"] = float(inside[known].mean())
    return figures
