from __future__ import annotations

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.tables import summary_table

HORIZON = 24
FOLDS = 5

Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def walk() -> PooledDataset:
    """Rows of a random walk that touch a barrier within a day: their direction is a coin flip by nature."""
    market = Market.build(random_walk_bars(4_000, seed=11), FuturesContract(name="test"))
    labels = triple_barrier(market, LabelConfig(horizon_bars=HORIZON, barrier_atr=3.0))
    dataset = PooledDataset([market], [labels])
    return dataset.subset(dataset.action != Action.HOLD)


def accuracy(dataset: PooledDataset, pairs: list[tuple[Mask, Mask]]) -> float:
    """Share of directions called right over the judged rows of all (train, judged) pairs."""
    table, bought = summary_table(dataset), dataset.action == Action.BUY
    right = []
    for train, judged in pairs:
        learner = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 7, "learning_rate": 0.3, "seed": 0, "nthread": 2},
            xgboost.QuantileDMatrix(table[train], label=bought[train]),
            num_boost_round=40,
        )
        right.append((learner.inplace_predict(table[judged]) > 0.5) == bought[judged])
    return float(np.concatenate(right).mean())


@pytest.mark.slow
def test_shuffled_folds_find_skill_where_there_is_none(walk: PooledDataset) -> None:
    """On a random walk shuffled folds claim over 80 % accuracy from overlapping labels, purged ones half."""
    fold = np.random.default_rng(0).permutation(len(walk)) % FOLDS
    shuffled = accuracy(walk, [(fold != number, fold == number) for number in range(FOLDS)])

    # Walk-forward: each fold is judged by what was learnt from the rows whose labels ended before it.
    block = np.arange(len(walk)) * FOLDS // len(walk)
    starts = [walk.end[block == number][0] for number in range(FOLDS)]
    pairs = [(walk.end + HORIZON < starts[number], block == number) for number in range(1, FOLDS)]
    purged = accuracy(walk, pairs)

    assert shuffled > 0.80
    # Labels of 24 bars overlap: only one row in 24 counts as an independent trial.
    independent = len(walk) * (FOLDS - 1) / FOLDS / HORIZON
    assert abs(purged - 0.5) < 2.6 * 0.5 / np.sqrt(independent)
