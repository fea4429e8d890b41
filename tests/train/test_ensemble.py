from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.ensemble_agent import EnsembleAgent
from quantum_trader.agents.tree_members import MEMBER_FILES
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import PlantedMarket
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.ensemble import fit_ensemble
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.tables import log_loss
from quantum_trader.train.tree_config import (
    CatBoostConfig,
    EnsembleConfig,
    LightGBMConfig,
    MemberName,
    XGBoostConfig,
)
from quantum_trader.train.xgboost import fit_xgboost

NAMES: tuple[MemberName, ...] = ("xgboost", "lightgbm", "catboost")
SETTINGS: dict[str, Any] = {"rounds": 40, "early_stopping": 10, "learning_rate": 0.15, "n_jobs": 1}
QUICK = EnsembleConfig(
    xgboost=XGBoostConfig(**SETTINGS),
    lightgbm=LightGBMConfig(**SETTINGS),
    catboost=CatBoostConfig(**SETTINGS),
)


@pytest.fixture(scope="module")
def agent(prepared_planted: Prepared) -> EnsembleAgent:
    return fit_ensemble(prepared_planted.train, prepared_planted.validation, QUICK, seed=5)


def few(dataset: PooledDataset, count: int = 1_000) -> PooledDataset:
    """The first rows of a dataset, for tests that fit more than once."""
    return dataset.subset(np.arange(count))


def probabilities(agent: EnsembleAgent, dataset: PooledDataset) -> Any:
    """float32 [N, 3]."""
    return agent.signals(dataset.inputs(np.arange(len(dataset)))).probabilities


def skill(agent: EnsembleAgent, train: PooledDataset, judged: PooledDataset) -> float:
    """1 - log-loss / log-loss of the training class shares."""
    shares = np.bincount(train.action, minlength=3).astype(np.float32) / len(train)
    prior = np.tile(shares, (len(judged), 1))
    return 1.0 - log_loss(probabilities(agent, judged), judged.action) / log_loss(prior, judged.action)


def test_finds_the_planted_edge(
    agent: EnsembleAgent, prepared_planted: Prepared, planted: PlantedMarket
) -> None:
    """On the cue bars of the test rows the agent's expected accuracy has at least 80 % of the best edge."""
    test = prepared_planted.test
    cue = planted.cue[test.end]
    signals = agent.signals(test.inputs(np.arange(len(test))))
    side = np.where(signals.direction == Action.BUY, 1, -1)
    agreed = float((side == cue)[cue != 0].mean())
    # Siding with the cue is right with the Bayes probability, siding against it with the rest: no test noise.
    expected = agreed * planted.bayes_accuracy + (1 - agreed) * (1 - planted.bayes_accuracy)
    assert (cue != 0).sum() > 30
    assert expected - 0.5 >= 0.8 * (planted.bayes_accuracy - 0.5)
    assert skill(agent, prepared_planted.train, test) > 0.02


def test_every_member_finds_the_cue(agent: EnsembleAgent, prepared_planted: Prepared) -> None:
    """Each member beats the prior on validation rows, and the cue's columns lead the joint importances."""
    metrics = agent.provenance.metrics
    for name in NAMES:
        assert metrics[f"{name}_validation_log_loss"] < metrics["validation_prior_log_loss"]
        assert 1 <= metrics[f"{name}_rounds_kept"] <= SETTINGS["rounds"]
    ranked = [FEATURE_NAMES[place] for place in np.argsort(-agent.feature_importances)]
    assert set(ranked[:3]) >= {"close_location", "volume_ratio"}


def test_mean_is_no_worse_than_the_average_member(agent: EnsembleAgent) -> None:
    """Log-loss is convex: averaged and calibrated, the answers lose no more than the members on average."""
    metrics = agent.provenance.metrics
    alone = [metrics[f"{name}_validation_log_loss"] for name in NAMES]
    assert metrics["validation_log_loss"] < np.mean(alone) + 1e-3


def test_permuted_labels_give_no_skill(prepared_planted: Prepared) -> None:
    """With labels shuffled within training and validation rows, skill on the test is at most chance."""
    rng = np.random.default_rng(1)
    shuffled = []
    for dataset in (prepared_planted.train, prepared_planted.validation):
        part = dataset.subset(np.arange(len(dataset)))
        part.action = rng.permutation(part.action)
        shuffled.append(part)
    agent = fit_ensemble(*shuffled, QUICK)
    # The test's own class shares differ a little from the training rows': 0.003 is what a constant can gain.
    assert skill(agent, prepared_planted.train, prepared_planted.test) < 0.003


def test_same_seed_same_model(prepared_planted: Prepared, tmp_path: Path) -> None:
    """The same seed and data give the same bytes; with another seed every library grows other trees."""
    train, validation = few(prepared_planted.train), few(prepared_planted.validation, 300)
    config = replace(
        QUICK,
        xgboost=replace(QUICK.xgboost, rounds=10),
        lightgbm=replace(QUICK.lightgbm, rounds=10),
        catboost=replace(QUICK.catboost, rounds=10),
    )
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        fit_ensemble(train, validation, config, seed).save(tmp_path / name)
    for file in MEMBER_FILES.values():
        first, again, other = ((tmp_path / name / file).read_bytes() for name in ("first", "again", "other"))
        assert first == again, file
        assert first != other, file
    hashes = [EnsembleAgent.load(tmp_path / name).model_hash for name in ("first", "again", "other")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_xgboost_alone_is_the_xgboost_agent(prepared_planted: Prepared) -> None:
    """An ensemble of XGBoost only answers as the agent of that name does, to the bit."""
    train, validation = few(prepared_planted.train), few(prepared_planted.validation, 300)
    lone = fit_ensemble(train, validation, replace(QUICK, members=("xgboost",)), seed=2)
    plain = fit_xgboost(train, validation, QUICK.xgboost, seed=2)
    test = few(prepared_planted.test, 200)
    expected = plain.signals(test.inputs(np.arange(len(test)))).probabilities
    assert (probabilities(lone, test) == expected).all()
    assert (
        lone.provenance.metrics["xgboost_validation_log_loss"]
        == plain.provenance.metrics["validation_log_loss"]
    )


@pytest.mark.parametrize("missing", [Action.HOLD, Action.SELL])
def test_class_that_never_occurs(missing: Action, prepared_planted: Prepared) -> None:
    """Without one class in the training rows every column still means its own action."""
    parts = []
    for dataset, count in ((prepared_planted.train, 600), (prepared_planted.validation, 200)):
        part = few(dataset, count)
        parts.append(part.subset(part.action != missing))
    agent = fit_ensemble(*parts, QUICK)
    for said in agent.member_probabilities(parts[1].inputs(np.arange(len(parts[1])))):
        assert said.shape == (len(parts[1]), 3)
        assert (said[:, missing] < 0.1).all()


def test_rows_too_few_to_split(prepared_planted: Prepared) -> None:
    """Where no leaf is heavy enough for a split, the answers are constant and the importances zero."""
    train, validation = few(prepared_planted.train, 300), few(prepared_planted.validation, 100)
    config = replace(
        QUICK,
        members=("lightgbm",),
        lightgbm=replace(QUICK.lightgbm, min_leaf_share=0.49, subsample=0.1),
    )
    agent = fit_ensemble(train, validation, config)
    found = probabilities(agent, validation)
    assert (found == found[0]).all()
    assert (agent.feature_importances == 0).all()


def test_provenance_and_config_record_the_fit(agent: EnsembleAgent, prepared_planted: Prepared) -> None:
    """Seed, data hash and every setting travel with the model; the settings are read back strictly."""
    assert agent.provenance.seed == 5
    assert agent.provenance.data_sha256 == prepared_planted.data_sha256
    assert from_plain(EnsembleConfig, agent.config, where="model") == QUICK
    assert agent.config == to_plain(QUICK)


@pytest.mark.parametrize("name", ["lightgbm", "catboost"])
def test_missing_library(name: str, prepared_planted: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is found before anything is fitted; it is not needed by an ensemble without it."""
    monkeypatch.setitem(sys.modules, name, None)
    train, validation = few(prepared_planted.train, 300), few(prepared_planted.validation, 100)
    monkeypatch.setattr("quantum_trader.train.ensemble.grow_xgboost", lambda *_: pytest.fail("was fitted"))
    with pytest.raises(
        ConfigError, match=rf'"{name}".*"quantum-trader\[trees\]", or train with fewer --ensemble\.members'
    ):
        fit_ensemble(train, validation, QUICK)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, name, None)
    rest = tuple(member for member in NAMES if member != name)
    assert fit_ensemble(train, validation, replace(QUICK, members=rest)).config["members"] == list(rest)


def test_differently_scaled_datasets_are_refused(prepared_planted: Prepared) -> None:
    """Training and validation rows under two scalers cannot be one model's."""
    other = few(prepared_planted.validation, 10)
    other.markets = tuple(market.with_scaler(REFERENCE_SCALER) for market in prepared_planted.markets)
    with pytest.raises(TrainingError, match="scaled differently"):
        fit_ensemble(prepared_planted.train, other, QUICK)


def test_impossible_settings_are_refused() -> None:
    """No, repeated and unknown members, shares outside (0, 1] and counts too small are named."""
    unknown: Any = ("xgboost", "forest")
    for members in ((), ("xgboost", "xgboost"), unknown):
        with pytest.raises(ConfigError, match="members: expected at least one of xgboost, lightgbm"):
            EnsembleConfig(members=members)
    for kind in (LightGBMConfig, CatBoostConfig):
        with pytest.raises(ConfigError, match="subsample"):
            kind(subsample=0.0)
        with pytest.raises(ConfigError, match="rounds"):
            kind(rounds=0)
        with pytest.raises(ConfigError, match="max_bin"):
            kind(max_bin=1)
    with pytest.raises(ConfigError, match="leaves"):
        LightGBMConfig(leaves=1)
    with pytest.raises(ConfigError, match="16 levels"):
        CatBoostConfig(max_depth=17)
