"""`fit_network`: from datasets to a calibrated network in a model folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.network import Network
from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.network_config import NetworkConfig
from quantum_trader.agents.tft.allocator import keep_freed_memory
from quantum_trader.agents.tft.precision import torch_threads
from quantum_trader.agents.tft.scaling import ReturnScale, fit_return_scale
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import json_sha256
from quantum_trader.envs.mirror import Mirror
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.device import training_device
from quantum_trader.train.distributed import Group, processes
from quantum_trader.train.interrupt import HeldInterrupt
from quantum_trader.train.network_calibration import calibrate
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport
from quantum_trader.train.network_log import NetworkLog
from quantum_trader.train.network_trainer import NetworkTrainer
from quantum_trader.train.weights import class_weights

AnyAgent = TypeVar("AnyAgent", bound=NetworkAgent[Any])

_SCALE_ROWS = 20_000


def fit_network(
    kind: type[AnyAgent],
    train: PooledDataset,
    validation: PooledDataset,
    *,
    model: NetworkConfig,
    training: NetworkTrainConfig,
    folder: Path,
    work: Path,
    scaler: FeatureScaler,
    data_sha256: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> AnyAgent:
    """Train, keep the weights that do best on validation, calibrate, write the model folder.

    Training that was cut off goes on from its last checkpoint, to the same numbers as if it had not been. The
    seed decides everything: torch's own random state and threads are as before when this returns. Processes
    that torchrun started train together; the first one writes, and all of them return the agent.

    Args:
        kind: the agent to fit; its `name` is the NAME below.
        train: rows to learn from; all markets scaled by `scaler`.
        validation: later rows, for early stopping and the temperature; figures on them flatter a little.
        model: shape of the network, of the kind's `config_class`.
        training: how to fit it.
        folder: the model folder to write; one that stands there is replaced.
        work: checkpoints go to `work/checkpoints/NAME.pt`, logs to `work/tensorboard/NAME`.
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
    with (
        processes(training.distributed) as group,
        torch_threads(training.num_threads),
        _own_draws(training, group),
    ):
        trainer = NetworkTrainer(
            train,
            watched,
            network=kind.build(model),
            config=training,
            class_weights=tuple(weights.tolist()),
            return_scale=scale,
            checkpoint=work / "checkpoints" / f"{kind.name}.pt",
            mirror=Mirror(scaler) if training.mirror and train.markets else None,
            config_sha256=_identity(model, training.deciding(group.size), data_sha256, train, watched),
            group=group,
        )
        logs = work / "tensorboard" / kind.name
        with NetworkLog(logs, first_step=trainer.step) if group.first else nullcontext() as log:
            with HeldInterrupt() as interrupt:
                network = trainer.run(log, interrupt, on_epoch)
            if log is not None:
                undo_class_weights(network, weights)
                agent = kind(
                    network,
                    scaler=scaler,
                    return_scale=scale,
                    calibration=None,
                    provenance=Provenance.now(data_sha256=data_sha256, seed=training.seed, metrics={}),
                    precision=training.precision,
                )
                metrics = {"best_epoch": float(trainer.best_epoch), "epochs": float(trainer.epoch)}
                calibrate(agent, train, validation, metrics)
                log.outcome(
                    trainer.step, model=model, training=training, metrics=metrics, report=agent.report
                )
                agent.save(folder)
    # The processes have waited for each other: what the first one wrote is there for all.
    return kind.load(folder, precision=training.precision)


@contextmanager
def _own_draws(training: NetworkTrainConfig, group: Group) -> Iterator[None]:
    """Random numbers from the seed, and torch's own state as before at the end."""
    device = training_device(training.device, local_rank=group.local_rank)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(training.seed)
        yield


def _identity(
    model: NetworkConfig,
    deciding: NetworkTrainConfig,
    data_sha256: str,
    train: PooledDataset,
    validation: PooledDataset,
) -> str:
    """Hash of everything that decides how training goes on."""
    return json_sha256(
        {
            "model": to_plain(model),
            "training": to_plain(deciding),
            "data": data_sha256,
            "rows": [len(train), len(validation)],
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


def undo_class_weights(network: Network, weights: NDArray[np.float64]) -> None:
    """Weighted cross entropy learns p_c w_c / sum; taking ln w_c off the logits gives p_c back."""
    with torch.no_grad():
        network.decide.linear.bias.sub_(torch.from_numpy(np.log(weights)).float())
