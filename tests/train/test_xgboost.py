from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.signals import Signals
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import PlantedMarket
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.tables import log_loss
from quantum_trader.train.tree_config import XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost

QUICK = XGBoostConfig(rounds=60, early_stopping=15, learning_rate=0.1, n_jobs=1)

LOAD_AND_PREDICT = """
import sys
from pathlib import Path
import numpy as np
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.xgboost_agent import XGBoostAgent
folder, inputs, answer = map(Path, sys.argv[1:])
agent = XGBoostAgent.load(folder)
given = np.load(inputs)
signals = agent.signals(ModelInputs(windows=given["windows"], context=given["context"]))
np.save(answer, signals.probabilities)
assert "torch" not in sys.modules, "torch was imported"
print(agent.model_hash)
"""


@pytest.fixture(scope="module")
def agent(prepared_planted: Prepared) -> XGBoostAgent:
    return fit_xgboost(prepared_planted.train, prepared_planted.validation, QUICK, seed=5)


def answers(agent: XGBoostAgent, dataset: PooledDataset) -> Signals:
    return agent.signals(dataset.inputs(np.arange(len(dataset))))


def skill(agent: XGBoostAgent, train: PooledDataset, judged: PooledDataset) -> float:
    """1 - log-loss / log-loss of the training class shares."""
    shares = np.bincount(train.action, minlength=3).astype(np.float32) / len(train)
    prior = np.tile(shares, (len(judged), 1))
    return 1.0 - log_loss(answers(agent, judged).probabilities, judged.action) / log_loss(
        prior, judged.action
    )


def test_finds_the_planted_edge(
    agent: XGBoostAgent, prepared_planted: Prepared, planted: PlantedMarket
) -> None:
    """On the cue bars of the test rows the agent's expected accuracy has at least 80 % of the best edge."""
    test = prepared_planted.test
    cue = planted.cue[test.end]
    side = np.where(answers(agent, test).direction == Action.BUY, 1, -1)
    agreed = float((side == cue)[cue != 0].mean())
    # Siding with the cue is right with the Bayes probability, siding against it with the rest: no test noise.
    expected = agreed * planted.bayes_accuracy + (1 - agreed) * (1 - planted.bayes_accuracy)
    assert (cue != 0).sum() > 30
    assert expected - 0.5 >= 0.8 * (planted.bayes_accuracy - 0.5)
    assert skill(agent, prepared_planted.train, test) > 0.02


def test_permuted_labels_give_no_skill(prepared_planted: Prepared) -> None:
    """With labels shuffled within training and validation rows, skill on the test is at most chance."""
    rng = np.random.default_rng(1)
    shuffled = []
    for dataset in (prepared_planted.train, prepared_planted.validation):
        part = dataset.subset(np.arange(len(dataset)))
        part.action = rng.permutation(part.action)
        shuffled.append(part)
    agent = fit_xgboost(*shuffled, QUICK)
    # The test's own class shares differ a little from the training rows': 0.003 is what a constant can gain.
    assert skill(agent, prepared_planted.train, prepared_planted.test) < 0.003


def test_knows_no_direction_of_a_random_walk(prepared_walks: Prepared) -> None:
    """Purged, the direction on random walks is called right half the time, within binomial bounds."""
    agent = fit_xgboost(prepared_walks.train, prepared_walks.validation, QUICK)
    test = prepared_walks.test
    moved = test.action != Action.HOLD
    right = answers(agent, test).direction[moved] == test.action[moved]
    # Labels of six bars overlap: only every sixth row counts as an independent trial.
    independent = moved.sum() / 6
    assert abs(right.mean() - 0.5) < 3.3 * 0.5 / np.sqrt(independent)


def test_same_seed_same_predictions(agent: XGBoostAgent, prepared_planted: Prepared) -> None:
    """The same seed and data give the same probabilities to the bit; another seed does not."""
    train, validation, test = prepared_planted.train, prepared_planted.validation, prepared_planted.test
    first = answers(agent, test).probabilities
    assert (answers(fit_xgboost(train, validation, QUICK, seed=5), test).probabilities == first).all()
    assert (answers(fit_xgboost(train, validation, QUICK, seed=6), test).probabilities != first).any()


def test_one_row_equals_itself_in_a_batch(agent: XGBoostAgent, prepared_planted: Prepared) -> None:
    """Probabilities do not depend on what else is in the batch, and sum to 1."""
    test = prepared_planted.test
    whole = answers(agent, test).probabilities
    for row in (0, 17, len(test) - 1):
        assert (agent.signals(test.inputs(np.array([row]))).probabilities[0] == whole[row]).all()
    assert whole.sum(axis=1) == pytest.approx(np.ones(len(test)), abs=1e-5)
    assert whole.dtype == np.float32


def test_round_trip_in_another_process_without_torch(
    agent: XGBoostAgent, prepared_planted: Prepared, tmp_path: Path
) -> None:
    """Loaded by a process that never imports torch, an agent answers the same to the bit."""
    inputs = prepared_planted.test.inputs(np.arange(50))
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context)
    agent.save(tmp_path / "model")
    paths = [str(tmp_path / name) for name in ("model", "inputs.npz", "answer.npy")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_PREDICT, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == agent.model_hash
    assert (np.load(tmp_path / "answer.npy") == agent.signals(inputs).probabilities).all()


def test_loaded_agent_keeps_everything(agent: XGBoostAgent, tmp_path: Path) -> None:
    """Scaler, calibration, config, provenance and importances come back as saved."""
    agent.save(tmp_path / "model")
    loaded = XGBoostAgent.load(tmp_path / "model")
    assert loaded.scaler == agent.scaler
    assert loaded.calibration == agent.calibration
    assert loaded.config == agent.config
    assert loaded.provenance == agent.provenance
    assert (loaded.feature_importances == agent.feature_importances).all()


def test_importances_name_the_planted_cue(agent: XGBoostAgent) -> None:
    """The cue is told by where the bar closes and by its volume: the largest gains are theirs."""
    ranked = [FEATURE_NAMES[place] for place in np.argsort(-agent.feature_importances)]
    assert set(ranked[:3]) >= {"close_location", "volume_ratio"}
    assert agent.feature_importances.sum() == pytest.approx(1.0, abs=1e-5)


def test_provenance_records_the_fit(agent: XGBoostAgent, prepared_planted: Prepared) -> None:
    """Seed, data hash and validation figures travel with the model."""
    assert agent.provenance.seed == 5
    assert agent.provenance.data_sha256 == prepared_planted.data_sha256
    metrics = agent.provenance.metrics
    assert metrics["validation_log_loss"] < metrics["validation_prior_log_loss"]
    assert 1 <= metrics["rounds_kept"] <= QUICK.rounds


def test_differently_scaled_datasets_are_refused(prepared_planted: Prepared) -> None:
    """Training and validation rows under two scalers cannot be one model's."""
    markets = [market.with_scaler(REFERENCE_SCALER) for market in prepared_planted.markets]
    other = prepared_planted.validation.subset(np.arange(10))
    other.markets = tuple(markets)
    with pytest.raises(TrainingError, match="scaled differently"):
        fit_xgboost(prepared_planted.train, other, QUICK)


def test_impossible_settings_are_refused() -> None:
    """Shares outside (0, 1] and counts below 1 are named."""
    with pytest.raises(ConfigError, match="subsample"):
        XGBoostConfig(subsample=0.0)
    with pytest.raises(ConfigError, match="rounds"):
        XGBoostConfig(rounds=0)
