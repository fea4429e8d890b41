"""The same decisions at dearer or slower trading."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import judged_fold
from quantum_trader.evaluate.judge import Verdict, judge_folds
from quantum_trader.evaluate.sweep.folds import fold_splits
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare

CONFIG = BenchConfig(coin_flips=0, bootstrap=BootstrapConfig(draws=50))


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    """Guesses, an agent that never acts, and buy-and-hold on two folds of a walk."""
    markets = [Market.build(random_walk_bars(1_200, 3), preset("binance-btc"))]
    splits = fold_splits(markets, WalkForwardConfig(folds=2))
    folds = [judged_fold(prepare(markets, DataConfig(splits=each))) for each in splits]
    rows = sum(len(fold.rows) for fold in folds)
    stated = np.random.default_rng(0).dirichlet((6.0, 5.0, 5.0), rows).astype(np.float32)
    idle = Entrant(name="idle", actions=np.zeros(rows, np.int8))
    return judge_folds([Entrant(name="guess", probabilities=stated), idle], folds, CONFIG)


@pytest.mark.parametrize("name", ["guess", "buy_and_hold"])
def test_usual_conditions_give_the_headline(verdict: Verdict, name: str) -> None:
    """Costs x 1 without delay is the figure that stands above the table."""
    agent = verdict.judgement.agent(name)
    assert agent is not None
    first = agent.sensitivity[0]
    assert (first.cost_multiplier, first.delay_bars) == (1.0, 0)
    assert first.total_return == agent.total_return
    assert first.trades == agent.trading.trades
    assert (first.win_rate, first.break_even_win_rate) == (
        agent.trading.win_rate,
        agent.trading.break_even_win_rate,
    )
    assert first.sharpe == pytest.approx(agent.trading.sharpe)


def test_dearer_trading_never_earns_more(verdict: Verdict) -> None:
    """With the same trades, each cost factor leaves less than the one before."""
    agent = verdict.judgement.agent("guess")
    assert agent is not None
    rows = [row for row in agent.sensitivity if row.delay_bars == 0]
    assert [row.cost_multiplier for row in rows] == [1.0, 2.0, 3.0]
    assert len({row.trades for row in rows}) == 1
    assert all(dear.total_return.estimate < cheap.total_return.estimate for cheap, dear in pairwise(rows))
    assert all(dear.win_rate <= cheap.win_rate for cheap, dear in pairwise(rows))


def test_delays_are_listed_at_the_usual_costs(verdict: Verdict) -> None:
    """One and two bars late, each with figures of its own."""
    agent = verdict.judgement.agent("guess")
    assert agent is not None
    late = [row for row in agent.sensitivity if row.delay_bars]
    assert [(row.cost_multiplier, row.delay_bars) for row in late] == [(1.0, 1), (1.0, 2)]
    found = {row.total_return.estimate for row in (agent.sensitivity[0], *late)}
    assert len(found) == 3


def test_who_never_acts_has_no_sensitivity(verdict: Verdict) -> None:
    """There is nothing to make dearer."""
    agent = verdict.judgement.agent("idle")
    assert agent is not None
    assert agent.sensitivity == ()
