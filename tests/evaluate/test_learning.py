"""What the whole pipeline learns: a planted edge is found by every learner, a random walk by none."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.agents.signals import Agent
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.envs import EnvConfig, Market, PlantedConfig, planted_bars, preset, run_actions
from quantum_trader.envs.actions import Action
from quantum_trader.envs.load import write_bars
from quantum_trader.envs.policy_pass import decide_in_turn
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.experiment import run_experiment
from quantum_trader.evaluate.run_config import MarketConfig, RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train import (
    DataConfig,
    NetworkTrainConfig,
    Prepared,
    RLConfig,
    XGBoostConfig,
    encode_market,
    fit_tft,
    fit_xgboost,
    prepare,
)
from quantum_trader.train.rl.markets import cut_markets
from quantum_trader.train.rl.run import train_policy
from quantum_trader.train.rl.validation import TablePolicy, ValidationResult, try_policy

SHARE_OF_EDGE = 0.6
"""Share of the best possible edge that each learner must reach; the edge is what lies above a coin."""

PPO_STEPS = 150_000
FEW_LOOKS = 5
"""How often a policy is tried on the validation slice, which takes most of a short training."""

Cues = NDArray[np.int8]


@dataclass(frozen=True)
class Planted:
    """A market whose cue bars foretell the next bars' direction with known accuracy."""

    cue: Cues
    bayes_accuracy: float
    prepared: Prepared


@pytest.fixture(scope="module")
def planted() -> Planted:
    """12,000 hours of a perpetual with the usual costs, a cue on about every tenth bar."""
    found = planted_bars(PlantedConfig(bars=12_000, seed=1, cue_probability=0.3))
    market = Market.build(found.bars, preset("binance-btc"))
    return Planted(found.cue, found.bayes_accuracy, prepare([market], DataConfig()))


def edge_reached(agent: Agent, planted: Planted) -> float:
    """Direction accuracy above a coin on the test slice's cue bars, as a share of the best possible."""
    rows = planted.prepared.test
    asked = np.flatnonzero((planted.cue[rows.end] != 0) & (rows.action != Action.HOLD))
    cued = rows.subset(asked)
    stated = ask(agent, cued)
    buys = stated[:, Action.BUY] >= stated[:, Action.SELL]
    accuracy = float(np.mean(buys == (cued.action == Action.BUY)))
    return (accuracy - 0.5) / (planted.bayes_accuracy - 0.5)


class Oracle:
    """Trades every cue for as long as it lasts: the best that can be done with the cues alone."""

    def __init__(self, cue: Cues, hold: int) -> None:
        self.cue, self.hold, self.left = cue, hold, 0

    def act(
        self, market: NDArray[np.int64], bar: NDArray[np.int64], account: NDArray[np.float32]
    ) -> NDArray[np.int8]:
        side, cue = round(float(account[0, 0])), int(self.cue[bar[0]])
        self.left = self.hold if cue else self.left - 1
        wanted = cue if cue else (0 if self.left <= 0 else side)
        order = Action.HOLD if wanted == side else Action.BUY if wanted > side else Action.SELL
        return np.array([order], dtype=np.int8)


def oracle_log_return(market: Market, cue: Cues) -> float:
    """Log return of the oracle after all costs."""
    (actions,) = decide_in_turn(Oracle(cue, PlantedConfig().hold), [market], EnvConfig())
    record = run_actions(market, actions)
    return float(np.log(record.equity[-1] / record.initial_balance))


def test_xgboost_finds_the_planted_edge(planted: Planted) -> None:
    """On cue bars XGBoost reaches the stated share of the best possible direction accuracy."""
    config = XGBoostConfig(rounds=80, learning_rate=0.1, n_jobs=1)
    agent = fit_xgboost(planted.prepared.train, planted.prepared.validation, config)
    assert edge_reached(agent, planted) > SHARE_OF_EDGE


def fit_tiny_tft(prepared: Prepared, epochs: int, work: Path) -> TFTAgent:
    """A small TFT, its folder at `work/tft`."""
    return fit_tft(
        prepared.train,
        prepared.validation,
        model=tft_preset("tiny"),
        training=NetworkTrainConfig(epochs=epochs, num_threads=1),
        folder=work / "tft",
        work=work,
        scaler=prepared.scaler,
        data_sha256=prepared.data_sha256,
    )


def train_and_try(
    prepared: Prepared, tft: TFTAgent, work: Path, config: RLConfig
) -> tuple[Market, ValidationResult]:
    """PPO's deterministic pass over the test slice, and the market it traded there."""
    fitted = train_policy(
        prepared,
        tft=tft,
        encoder_folder=work / "tft",
        config=config,
        folder=work / "ppo",
        work=work,
    )
    assert fitted.agent is not None
    (market,) = cut_markets(prepared.test)
    test = encode_market(tft, market, fitted.agent.features)
    policy = TablePolicy(fitted.agent.network, [test.table])
    return market, try_policy(policy, [test], EnvConfig())


def test_tft_and_ppo_find_the_planted_edge(planted: Planted, tmp_path: Path) -> None:
    """The TFT reaches its share of the accuracy, and PPO on its encoder its share of the oracle's return."""
    tft = fit_tiny_tft(planted.prepared, 4, tmp_path)
    assert edge_reached(tft, planted) > SHARE_OF_EDGE

    config = RLConfig(total_steps=PPO_STEPS, evaluations=FEW_LOOKS)
    market, found = train_and_try(planted.prepared, tft, tmp_path, config)
    first = int(np.searchsorted(planted.prepared.markets[0].bars.timestamp, market.bars.timestamp[0]))
    best = oracle_log_return(market, planted.cue[first : first + len(market)])
    assert best > 0.5, "the planted edge must be worth trading after costs"
    assert found.costs > 0.1, "the edge was traded at the contract's costs"
    assert found.log_return > SHARE_OF_EDGE * best


@pytest.fixture(scope="module")
def walk_run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A finished run on a random walk of 10,000 hours with the usual costs."""
    folder = tmp_path_factory.mktemp("runs")
    write_bars(random_walk_bars(10_000, 0), folder / "WALK.parquet")
    config = RunConfig(
        name="walk",
        out=folder,
        market=MarketConfig(data=str(folder / "WALK.parquet"), contract="binance-btc"),
        preset="tiny",
        tft=NetworkTrainConfig(epochs=2, num_threads=1),
        xgboost=XGBoostConfig(rounds=60, n_jobs=1),
        rl=RLConfig(total_steps=100_000, evaluations=FEW_LOOKS),
        coin_flips=20,
        bootstrap_draws=300,
    )
    run_experiment(config, lambda line: None)
    return config


@pytest.mark.xdist_group("walk_run")
@pytest.mark.parametrize("warm_start", [True, False])
def test_ppo_stays_out_of_a_random_walk(warm_start: bool, walk_run: RunConfig, tmp_path: Path) -> None:
    """Where nothing can be foretold and every trade costs, the trained policy pays next to nothing: from a
    random start it learns to stay out by itself; what begins with trades is not kept, since it loses."""
    walk = prepare(load_markets(walk_run.market), DataConfig())
    shutil.copytree(walk_run.folder / "models" / "tft", tmp_path / "tft")
    config = RLConfig(
        total_steps=PPO_STEPS, evaluations=FEW_LOOKS, warm_start=warm_start, stay_out=warm_start
    )
    _, found = train_and_try(walk, TFTAgent.load(tmp_path / "tft"), tmp_path, config)
    # A coin pays about 0.7 here. Of other seeds, which other processors' rounding amounts to, one paid 0.01.
    assert found.costs < 0.05


@pytest.mark.xdist_group("walk_run")
def test_a_random_walk_has_no_edge(walk_run: RunConfig) -> None:
    """Trained and judged on a random walk, no agent earns a net return whose interval lies above zero,
    and no direction accuracy has one that lies above a coin's."""
    found = json.loads((walk_run.folder / "metrics.json").read_text(encoding="utf-8"))["agents"]
    learners = [agent for agent in found if agent["role"] == "learner"]
    assert {agent["name"] for agent in learners} == {"arbiter", "tft", "ppo", "xgboost", "logistic"}
    for agent in learners:
        assert not agent["total_return"]["low"] > 0, agent["name"]
        if agent["signal"] is not None:
            assert not agent["signal"]["direction_accuracy"]["low"] > 0.5, agent["name"]
