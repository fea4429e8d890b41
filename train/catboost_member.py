"""Fitting CatBoost as a member of the ensemble."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quantum_trader.agents.tabular import TABULAR_NAMES
from quantum_trader.agents.tree_members import CatBoostMember, member_library
from quantum_trader.train.progress import Progress
from quantum_trader.train.tree_config import CatBoostConfig
from quantum_trader.train.tree_rows import TreeRows


def grow_catboost(rows: TreeRows, config: CatBoostConfig, seed: int) -> CatBoostMember:
    """Grow trees and keep those up to the best validation log-loss.

    Args:
        rows: training and validation rows.
        config: how.
        seed: of row and column sampling; the same seed, rows and threads give the same trees.

    Raises:
        ConfigError: CatBoost is not installed.
    """
    catboost = member_library("catboost")
    names = list(TABULAR_NAMES)
    learn = catboost.Pool(rows.table, rows.action, weight=rows.weight, feature_names=names)
    watch = catboost.Pool(rows.validation_table, rows.validation_action, feature_names=names)
    model = catboost.CatBoost(_parameters(config, seed))
    with Progress("catboost", total=config.rounds, unit="rounds") as progress:
        model.fit(learn, eval_set=watch, use_best_model=True, callbacks=[_Rounds(progress)])
    return CatBoostMember(_content(model))


def _content(model: Any) -> bytes:
    """The model as the bytes of a .cbm file; equal trees are equal bytes."""
    notes = model.get_metadata()
    # The moment of the fit and a random number: with them no two fits would have one hash.
    for key in {"train_finish_time", "model_guid"} & set(notes.keys()):
        del notes[key]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path), format="cbm")
        return path.read_bytes()


class _Rounds:
    """Reports each boosting round."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def after_iteration(self, state: Any) -> bool:
        """Called by CatBoost; True goes on."""
        self._progress.update(
            state.iteration, {"validation loss": state.metrics["validation"]["MultiClass"][-1]}
        )
        return True


def _parameters(config: CatBoostConfig, seed: int) -> dict[str, Any]:
    return {
        "loss_function": "MultiClass",
        "classes_count": 3,
        "iterations": config.rounds,
        "od_type": "Iter",
        "od_wait": config.early_stopping,
        "random_seed": seed,
        "thread_count": config.n_jobs or int(os.environ.get("OMP_NUM_THREADS", "-1")),
        "allow_writing_files": False,
        "logging_level": "Silent",
        # Ordered boosting, the alternative, guards small data against target leakage of categories, which
        # there are none of here, and takes several times as long.
        "boosting_type": "Plain",
        "bootstrap_type": "Bernoulli",
        "learning_rate": config.learning_rate,
        "depth": config.max_depth,
        "subsample": config.subsample,
        "rsm": config.colsample,
        "l2_leaf_reg": config.reg_lambda,
        "border_count": config.max_bin,
    }
