"""Fitting the multinomial logistic regression on the summary table."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.calibration import fit_calibration
from quantum_trader.agents.logistic import LogisticAgent, LogisticWeights
from quantum_trader.envs.config import to_plain
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.tables import (
    hold_share,
    provenance,
    shared_scaler,
    summary_table,
    validation_metrics,
)
from quantum_trader.train.tree_config import LogisticConfig

Floats32 = NDArray[np.float32]

_CONSTANT = 1e-6


def fit_logistic(
    train: PooledDataset, validation: PooledDataset, config: LogisticConfig | None = None, seed: int = 0
) -> LogisticAgent:
    """Fit on `train`, calibrate on `validation`.

    Args:
        train: rows with sample weights; all markets scaled alike.
        validation: later rows of the same markets.
        config: None takes the defaults.
        seed: recorded only; the fit has no chance in it.

    Raises:
        TrainingError: a dataset is empty, or its markets were scaled differently.
    """
    config = config if config is not None else LogisticConfig()
    scaler = shared_scaler(train, validation)
    weights = _fit(_thinned(train, config.max_rows), config)
    raw = weights.probabilities(summary_table(validation))
    calibration = fit_calibration(raw, validation.action, hold_share=hold_share(train))
    metrics = validation_metrics(train, validation, calibration.apply(raw))
    return LogisticAgent(
        weights,
        config=to_plain(config),
        scaler=scaler,
        calibration=calibration,
        provenance=provenance(train, seed=seed, metrics=metrics),
    )


def _thinned(train: PooledDataset, most: int) -> PooledDataset:
    if len(train) <= most:
        return train
    return train.subset(np.linspace(0, len(train) - 1, most).astype(np.int64))


def _fit(train: PooledDataset, config: LogisticConfig) -> LogisticWeights:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    table = summary_table(train)
    mean, deviation = table.mean(axis=0), table.std(axis=0)
    scale = np.where(deviation > _CONSTANT, deviation, np.float32(1.0)).astype(np.float32)
    model = LogisticRegression(C=1.0 / (config.penalty * len(train)), max_iter=config.max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((table - mean) / scale, train.action, sample_weight=train.weight)
    coefficients = np.zeros((table.shape[1], 3), dtype=np.float32)
    # A class that never occurs in training gets probability 0.
    intercept = np.full(3, -1e4, dtype=np.float32)
    if len(model.classes_) == 2:
        coefficients[:, model.classes_[1]] = model.coef_[0]
        intercept[model.classes_] = [0.0, model.intercept_[0]]
    else:
        coefficients[:, model.classes_] = model.coef_.T
        intercept[model.classes_] = model.intercept_
    return LogisticWeights(mean=mean, scale=scale, coefficients=coefficients, intercept=intercept)
