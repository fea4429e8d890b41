"""What the tabular learners share: a dataset's summary table and the figures kept with a fitted model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.folder import Provenance, data_digest
from quantum_trader.agents.tabular import TABULAR_SIZE, tabular
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.train.dataset import PooledDataset

Floats32 = NDArray[np.float32]

_CHUNK = 8_192
_TINY = 1e-12


def summary_table(dataset: PooledDataset) -> Floats32:
    """float32 [N, TABULAR_SIZE] of all rows; windows exist for one chunk at a time only."""
    table = np.empty((len(dataset), TABULAR_SIZE), dtype=np.float32)
    for start in range(0, len(dataset), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(dataset)))
        table[rows] = tabular(dataset.inputs(rows))
    return table


def shared_scaler(train: PooledDataset, validation: PooledDataset) -> FeatureScaler:
    """The one scaler of all markets of both datasets.

    Raises:
        TrainingError: a dataset is empty, or its markets were scaled differently.
    """
    for name, dataset in (("training", train), ("validation", validation)):
        if len(dataset) == 0:
            raise TrainingError(f"There are no {name} rows: give longer data or move the split dates.")
    scalers = {market.scaler for dataset in (train, validation) for market in dataset.markets}
    if len(scalers) != 1:
        raise TrainingError("The pooled markets were scaled differently: scale all with one fitted scaler.")
    return scalers.pop()


def hold_share(train: PooledDataset) -> float:
    """Share of HOLD among the labels of training rows."""
    return float(np.mean(train.action == Action.HOLD))


def log_loss(probabilities: Floats32, actions: NDArray[np.int8]) -> float:
    """Mean of -ln of the probability given to what happened."""
    chosen = probabilities[np.arange(len(actions)), actions]
    return float(-np.log(np.maximum(chosen.astype(np.float64), _TINY)).mean())


def validation_metrics(
    train: PooledDataset, validation: PooledDataset, probabilities: Floats32
) -> dict[str, float]:
    """Log-loss on validation rows, that of the training class shares, and the skill between them."""
    shares = np.bincount(train.action, minlength=3) / len(train)
    prior = np.tile(shares.astype(np.float32), (len(validation), 1))
    loss, reference = log_loss(probabilities, validation.action), log_loss(prior, validation.action)
    return {
        "validation_log_loss": loss,
        "validation_prior_log_loss": reference,
        "validation_skill": 1.0 - loss / reference,
    }


def provenance(train: PooledDataset, *, seed: int, metrics: dict[str, float]) -> Provenance:
    """Where a model fitted on `train` comes from."""
    digest = data_digest([market.bars.digest for market in train.markets])
    return Provenance.now(data_sha256=digest, seed=seed, metrics=metrics)
