"""The ledger's lines of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate import signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.judge import JudgeConfig, Verdict, judge
from quantum_trader.evaluate.ledger import Ledger
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_trials import run_key, run_trials
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.tree_config import XGBoostConfig

CONFIG = RunConfig(seed=3)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare([Market.build(random_walk_bars(900, 3), preset("binance-btc"))], DataConfig())


@pytest.fixture(scope="module")
def verdict(prepared: Prepared) -> Verdict:
    rows = len(prepared.test)
    stated = np.random.default_rng(0).dirichlet((6.0, 5.0, 5.0), rows).astype(np.float32)
    decided = stated.argmax(axis=1).astype(np.int8)
    entrants = [
        Entrant(name="xgboost", probabilities=stated),
        Entrant(name="ppo", kind="position", actions=decided),
        Entrant(name="ppo-seed1", kind="position", actions=decided[::-1].copy()),
        Entrant(name="always_hold", role="baseline", actions=np.zeros(rows, np.int8)),
    ]
    config = JudgeConfig(coin_flips=0, bootstrap=BootstrapConfig(draws=20))
    return judge(entrants, prepared.test, signal_metrics.class_shares(prepared.train.action), config)


def test_every_learner_and_no_baseline_has_a_line(prepared: Prepared, verdict: Verdict) -> None:
    """One line an agent and seed; a further seed is the same trial with another seed and key."""
    trials = run_trials(CONFIG, prepared, verdict)
    assert [(trial.agent, trial.seed) for trial in trials] == [("xgboost", 3), ("ppo", 3), ("ppo", 4)]
    xgboost, ppo, further = trials
    assert ppo.trial == further.trial != xgboost.trial
    assert len({trial.key for trial in trials}) == 3
    assert [trial.key for trial in trials] == [
        run_key(CONFIG, prepared, name) for name in ("xgboost", "ppo", "ppo-seed1")
    ]
    assert {trial.data for trial in trials} == {prepared.data_sha256}


def test_a_line_tells_what_the_portfolio_did(prepared: Prepared, verdict: Verdict) -> None:
    """Bars, mean log return, Sharpe ratio and log-loss are those of the judgement."""
    trial = run_trials(CONFIG, prepared, verdict)[0]
    portfolio, agent = verdict.portfolios[0], verdict.judgement.agents[0]
    assert (trial.start_ms, trial.end_ms) == (portfolio.timestamps[0], portfolio.timestamps[-1])
    assert trial.bars == len(portfolio.equity) - 1 == agent.trading.bars
    assert trial.mean_log_return * trial.bars == pytest.approx(np.log1p(agent.total_return.estimate))
    assert trial.sharpe == pytest.approx(metrics.sharpe(metrics.log_returns(portfolio.equity)))
    assert agent.signal is not None
    assert trial.log_loss == agent.signal.log_loss
    assert run_trials(CONFIG, prepared, verdict)[1].log_loss is None


def test_only_own_settings_and_what_it_builds_on_make_another_trial(prepared: Prepared) -> None:
    """PPO is another trial with another TFT, not with another XGBoost; seed and data change the key too."""
    key = run_key(CONFIG, prepared, "ppo")
    other_trees = replace(CONFIG, xgboost=XGBoostConfig(rounds=7))
    assert run_key(other_trees, prepared, "ppo") == key
    assert run_key(other_trees, prepared, "xgboost") != run_key(CONFIG, prepared, "xgboost")
    assert run_key(replace(CONFIG, tft=replace(CONFIG.tft, epochs=7)), prepared, "ppo") != key
    assert run_key(replace(CONFIG, rl=RLConfig(total_steps=1_000)), prepared, "ppo") != key
    assert run_key(replace(CONFIG, seed=4), prepared, "ppo") == run_key(CONFIG, prepared, "ppo-seed1")
    assert run_key(CONFIG, replace(prepared, data_sha256="other"), "ppo") != key
    assert run_key(replace(CONFIG, name="other", coin_flips=1), prepared, "ppo") == key


@pytest.mark.xdist_group("finished_run")
def test_a_run_writes_its_learners_lines(finished_run: Path) -> None:
    """`quantum-trader run` leaves one line for each agent it trained, in the ledger beside its folder."""
    trials = Ledger(finished_run.parent).read()
    assert sorted(trial.agent for trial in trials) == ["arbiter", "logistic", "ppo", "tft", "xgboost"]
    plain = json.loads((finished_run / "metrics.json").read_text(encoding="utf-8"))
    returns = {agent["name"]: agent["total_return"]["estimate"] for agent in plain["agents"]}
    for trial in trials:
        assert trial.split == "test"
        total = np.expm1(trial.mean_log_return * trial.bars)
        assert total == pytest.approx(returns[trial.agent], abs=1e-9)
