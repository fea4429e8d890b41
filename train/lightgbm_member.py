"""Fitting LightGBM as a member of the ensemble."""

from __future__ import annotations

from typing import Any

from quantum_trader.agents.tabular import TABULAR_NAMES
from quantum_trader.agents.tree_members import LightGBMMember, member_library
from quantum_trader.train.progress import Progress
from quantum_trader.train.tree_config import LightGBMConfig
from quantum_trader.train.tree_rows import TreeRows

_SMALLEST_LEAF = 2


def grow_lightgbm(rows: TreeRows, config: LightGBMConfig, seed: int) -> LightGBMMember:
    """Grow trees and keep those up to the best validation log-loss.

    Args:
        rows: training and validation rows.
        config: how.
        seed: of row and column sampling; the same seed, rows and threads give the same trees.

    Raises:
        ConfigError: LightGBM is not installed.
    """
    lightgbm = member_library("lightgbm")
    parameters = _parameters(config, len(rows), seed)
    learn = lightgbm.Dataset(
        rows.table,
        rows.action,
        weight=rows.weight,
        feature_name=list(TABULAR_NAMES),
        params=parameters,
    )
    watch = lightgbm.Dataset(
        rows.validation_table, rows.validation_action, reference=learn, params=parameters
    )
    with Progress("lightgbm", total=config.rounds, unit="rounds") as progress:
        booster = lightgbm.train(
            parameters,
            learn,
            config.rounds,
            valid_sets=[watch],
            callbacks=[
                lightgbm.early_stopping(config.early_stopping, verbose=False),
                lambda state: _report(progress, state),
            ],
        )
    return LightGBMMember(booster.model_to_string(num_iteration=booster.best_iteration))


def _report(progress: Progress, state: Any) -> None:
    progress.update(state.iteration + 1, {"validation loss": state.evaluation_result_list[0][2]})


def _parameters(config: LightGBMConfig, rows: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "multiclass",
        "num_class": 3,
        "metric": "multi_logloss",
        "seed": seed,
        "num_threads": config.n_jobs,
        # Left to itself LightGBM times both ways of building histograms and takes the faster, which differ
        # in the last bits.
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
        "learning_rate": config.learning_rate,
        "max_depth": config.max_depth,
        "num_leaves": min(config.leaves, 2**config.max_depth),
        "min_data_in_leaf": max(_SMALLEST_LEAF, round(config.min_leaf_share * rows)),
        "bagging_fraction": config.subsample,
        "bagging_freq": 1,
        "feature_fraction": config.colsample,
        "lambda_l2": config.reg_lambda,
        "max_bin": config.max_bin,
    }
