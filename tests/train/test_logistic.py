from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.logistic import LogisticAgent
from quantum_trader.envs.actions import Action
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.tables import log_loss
from quantum_trader.train.tree_config import LogisticConfig


@pytest.fixture(scope="module")
def agent(prepared_walks: Prepared) -> LogisticAgent:
    return fit_logistic(prepared_walks.train, prepared_walks.validation, LogisticConfig(max_rows=2_000))


def test_matches_the_solver_it_was_fitted_with(prepared_walks: Prepared) -> None:
    """The numbers kept reproduce scikit-learn's probabilities on the same table."""
    from sklearn.linear_model import LogisticRegression

    from quantum_trader.train.logistic import _fit
    from quantum_trader.train.tables import summary_table

    part = prepared_walks.train.subset(np.arange(0, len(prepared_walks.train), 20))
    config = LogisticConfig(penalty=0.1)
    weights = _fit(part, config)
    table = (summary_table(part) - weights.mean) / weights.scale
    model = LogisticRegression(C=1.0 / (config.penalty * len(part)), max_iter=config.max_iterations)
    model.fit(table, part.action, sample_weight=part.weight)
    ours = weights.probabilities(summary_table(part))
    assert ours == pytest.approx(model.predict_proba(table), abs=1e-5)


def test_learns_a_linear_signal(prepared_planted: Prepared) -> None:
    """Labels that follow one column are learnt: log-loss falls far below the prior's."""
    train, validation = (
        part.subset(np.arange(len(part))) for part in (prepared_planted.train, prepared_planted.validation)
    )
    for part in (train, validation):
        last = part.windows(np.arange(len(part)))[:, -1, 0]
        part.action = np.where(last > 0, Action.BUY, Action.SELL).astype(np.int8)
    agent = fit_logistic(train, validation)
    signals = agent.signals(validation.inputs(np.arange(len(validation))))
    assert log_loss(signals.probabilities, validation.action) < 0.35
    # HOLD never occurred in training.
    assert signals.probabilities[:, Action.HOLD].max() < 1e-6


def test_knows_nothing_of_a_random_walk(agent: LogisticAgent, prepared_walks: Prepared) -> None:
    """On random walks the log-loss on test rows is not better than that of the training shares."""
    test = prepared_walks.test
    probabilities = agent.signals(test.inputs(np.arange(len(test)))).probabilities
    shares = np.bincount(prepared_walks.train.action, minlength=3) / len(prepared_walks.train)
    prior = np.tile(shares.astype(np.float32), (len(test), 1))
    assert 1 - log_loss(probabilities, test.action) / log_loss(prior, test.action) < 0.003


def test_round_trip(agent: LogisticAgent, prepared_walks: Prepared, tmp_path: Path) -> None:
    """A saved and loaded agent gives the same probabilities to the bit."""
    agent.save(tmp_path / "model")
    loaded = LogisticAgent.load(tmp_path / "model")
    inputs = prepared_walks.test.inputs(np.arange(100))
    assert (loaded.signals(inputs).probabilities == agent.signals(inputs).probabilities).all()
    assert loaded.model_hash == agent.model_hash != ""
    assert loaded.provenance == agent.provenance
    assert loaded.feature_importances.sum() == pytest.approx(1.0, abs=1e-5)
