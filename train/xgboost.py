"""Fitting gradient-boosted trees on the summary table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from quantum_trader.agents.calibration import fit_calibration
from quantum_trader.agents.tabular import TABULAR_NAMES
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.config import to_plain
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.progress import Progress
from quantum_trader.train.tables import (
    hold_share,
    provenance,
    shared_scaler,
    validation_metrics,
)
from quantum_trader.train.tree_config import XGBoostConfig
from quantum_trader.train.tree_rows import TreeRows

_SMALLEST_LEAF = 2.0


def fit_xgboost(
    train: PooledDataset, validation: PooledDataset, config: XGBoostConfig | None = None, seed: int = 0
) -> XGBoostAgent:
    """Grow trees on `train`, stop early and calibrate on `validation`.

    The rounds kept are those up to the best validation log-loss. Early stopping and the temperature both look
    at the validation rows, so figures on them flatter a little: judge the agent on the test rows.

    Args:
        train: rows with sample weights; all markets scaled alike.
        validation: later rows of the same markets.
        config: None takes the defaults.
        seed: of row and column sampling; the same seed and data give the same trees.

    Raises:
        TrainingError: a dataset is empty, or its markets were scaled differently.
    """
    config = config if config is not None else XGBoostConfig()
    scaler = shared_scaler(train, validation)
    rows = TreeRows.of(train, validation)
    learn, watch = quantized(rows, config)
    table = rows.validation_table
    # The training table, the largest thing in memory, is not needed while the trees grow.
    del rows
    booster = grow_xgboost(learn, watch, config, len(train), seed)
    raw: NDArray[np.float32] = booster.inplace_predict(table, validate_features=False)
    calibration = fit_calibration(raw, validation.action, hold_share=hold_share(train))
    metrics = validation_metrics(train, validation, calibration.apply(raw))
    metrics["rounds_kept"] = float(booster.num_boosted_rounds())
    return XGBoostAgent(
        booster,
        config=to_plain(config),
        scaler=scaler,
        calibration=calibration,
        provenance=provenance(train, seed=seed, metrics=metrics),
        n_jobs=config.n_jobs,
    )


def quantized(
    rows: TreeRows, config: XGBoostConfig
) -> tuple[xgboost.QuantileDMatrix, xgboost.QuantileDMatrix]:
    """Training and validation rows as histogram bins; they hold no reference to the tables."""
    names = list(TABULAR_NAMES)
    learn = xgboost.QuantileDMatrix(
        rows.table,
        label=rows.action,
        weight=rows.weight,
        feature_names=names,
        max_bin=config.max_bin,
        nthread=config.n_jobs,
    )
    watch = xgboost.QuantileDMatrix(
        rows.validation_table,
        label=rows.validation_action,
        feature_names=names,
        max_bin=config.max_bin,
        nthread=config.n_jobs,
        ref=learn,
    )
    return learn, watch


def grow_xgboost(
    learn: xgboost.QuantileDMatrix,
    watch: xgboost.QuantileDMatrix,
    config: XGBoostConfig,
    rows: int,
    seed: int,
) -> xgboost.Booster:
    """The booster cut to its best round.

    Args:
        learn, watch: training and validation rows of `quantized`.
        config: how.
        rows: number of training rows.
        seed: of row and column sampling.
    """
    with Progress("xgboost", total=config.rounds, unit="rounds") as progress:
        booster = xgboost.train(
            _parameters(config, rows, seed),
            learn,
            config.rounds,
            evals=[(watch, "validation")],
            early_stopping_rounds=config.early_stopping,
            verbose_eval=False,
            callbacks=[_Rounds(progress)],
        )
    return booster[: booster.best_iteration + 1]


class _Rounds(xgboost.callback.TrainingCallback):
    """Reports each boosting round."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        self._progress.update(epoch + 1, {"validation loss": evals_log["validation"]["mlogloss"][-1]})
        return False


def _parameters(config: XGBoostConfig, rows: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "multi:softprob",
        "num_class": 3,
        "eval_metric": "mlogloss",
        "tree_method": "hist",
        "device": "cpu",
        "seed": seed,
        "nthread": config.n_jobs,
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": max(_SMALLEST_LEAF, config.min_leaf_share * rows),
        "subsample": config.subsample,
        "colsample_bytree": config.colsample,
        "reg_lambda": config.reg_lambda,
        "max_bin": config.max_bin,
    }
