"""Fitting the ensemble of boosted trees on one summary table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration, fit_calibration, fit_temperature
from quantum_trader.agents.ensemble_agent import EnsembleAgent
from quantum_trader.agents.tree_members import (
    TreeMember,
    XGBoostMember,
    mean_probabilities,
    member_library,
)
from quantum_trader.envs.config import to_plain
from quantum_trader.train.catboost_member import grow_catboost
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.lightgbm_member import grow_lightgbm
from quantum_trader.train.tables import hold_share, log_loss, provenance, shared_scaler, validation_metrics
from quantum_trader.train.tree_config import (
    CatBoostConfig,
    EnsembleConfig,
    LightGBMConfig,
    MemberName,
    XGBoostConfig,
)
from quantum_trader.train.tree_rows import TreeRows
from quantum_trader.train.xgboost import grow_xgboost, quantized

TreeConfig = XGBoostConfig | LightGBMConfig | CatBoostConfig


def fit_ensemble(
    train: PooledDataset, validation: PooledDataset, config: EnsembleConfig | None = None, seed: int = 0
) -> EnsembleAgent:
    """Grow each member on `train`, stop it early on `validation`, calibrate their mean there.

    The members see the same rows and the same seed and know nothing of each other. As with `fit_xgboost`,
    figures on the validation rows flatter a little: judge the agent on the test rows.

    Args:
        train: rows with sample weights; all markets scaled alike.
        validation: later rows of the same markets.
        config: None takes the defaults: all three members.
        seed: of row and column sampling; the same seed, data and threads give the same trees.

    Raises:
        ConfigError: the library of a member is not installed.
        TrainingError: a dataset is empty, or its markets were scaled differently.
    """
    config = config if config is not None else EnsembleConfig()
    # Before the first member is grown: a library missed only after that would waste minutes.
    for name in config.members:
        member_library(name)
    scaler = shared_scaler(train, validation)
    rows = TreeRows.of(train, validation)
    members = [_grow(rows, _settings(name, config), seed) for name in config.members]
    said = [member.probabilities(rows.validation_table) for member in members]
    raw = mean_probabilities(said)
    calibration = fit_calibration(raw, validation.action, hold_share=hold_share(train))
    metrics = validation_metrics(train, validation, calibration.apply(raw))
    for member, answers in zip(members, said, strict=True):
        metrics[f"{member.name}_rounds_kept"] = float(member.rounds())
        metrics[f"{member.name}_validation_log_loss"] = _alone(answers, validation)
    return EnsembleAgent(
        members,
        config=to_plain(config),
        scaler=scaler,
        calibration=calibration,
        provenance=provenance(train, seed=seed, metrics=metrics),
        n_jobs=_settings(config.members[0], config).n_jobs,
    )


def _settings(name: MemberName, config: EnsembleConfig) -> TreeConfig:
    found: TreeConfig = getattr(config, name)
    return found


def _grow(rows: TreeRows, settings: TreeConfig, seed: int) -> TreeMember:
    if isinstance(settings, LightGBMConfig):
        return grow_lightgbm(rows, settings, seed)
    if isinstance(settings, CatBoostConfig):
        return grow_catboost(rows, settings, seed)
    learn, watch = quantized(rows, settings)
    return XGBoostMember(grow_xgboost(learn, watch, settings, len(rows), seed))


def _alone(answers: NDArray[np.floating], validation: PooledDataset) -> float:
    """Validation log-loss of a member as it would be alone: under a temperature of its own."""
    raw = answers.astype(np.float32)
    own = Calibration(temperature=fit_temperature(raw, validation.action))
    return log_loss(own.apply(raw), validation.action)
