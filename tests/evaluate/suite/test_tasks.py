"""The tasks that come with this software, and what is known of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_trader.agents.signals import Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.backtest import BacktestConfig, grounds, spread, trade_all
from quantum_trader.evaluate.run_data import load_bars, load_markets
from quantum_trader.evaluate.suite.tasks import (
    SUITES,
    TASKS,
    Truth,
    cue_rows,
    edge_share,
    independent_rows,
    suite,
    truth,
)
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.tree_config import XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost

PLANTED = [task.name for task in TASKS.values() if task.claim == "edge"]
_FOUND: dict[str, Prepared] = {}


def prepared(name: str) -> Prepared:
    """A task's rows, labelled and split as by default."""
    if name not in _FOUND:
        _FOUND[name] = prepare(load_markets(TASKS[name].market), DataConfig())
    return _FOUND[name]


def knowing(found: Truth, timestamps: np.ndarray) -> np.ndarray:
    """float32 [N, 3]: what one says who knows the truth, HOLD where it says nothing."""
    stated = np.zeros((len(timestamps), 3), dtype=np.float32)
    at = dict(zip(found.cue_time.tolist(), found.side.tolist(), strict=True))
    side = np.array([at.get(moment, 0) for moment in timestamps.tolist()])
    stated[np.arange(len(side)), np.where(side > 0, 1, np.where(side < 0, 2, 0))] = 1.0
    return stated


def test_suites_name_tasks() -> None:
    """Each suite has its tasks in order, each task its own name; another name lists the suites."""
    assert [task.name for task in suite("standard")] == list(TASKS)
    assert [task.name for task in suite("planted")] == PLANTED == ["planted-easy", "planted-hard", "order"]
    assert suite("none") == ()
    assert all(name == task.name for name, task in TASKS.items())
    assert all(set(names) <= set(TASKS) for names in SUITES.values())
    with pytest.raises(ConfigError, match="standard, planted, quick, none, found 'big'"):
        suite("big")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_a_market_of_its_own_with_costs(name: str) -> None:
    """Enough bars, one symbol, fees and slippage above 0."""
    (bars,) = load_bars(TASKS[name].market.data, "")
    assert name == "sample" or 12_000 <= len(bars) <= 20_000
    contract = load_markets(TASKS[name].market)[0].contract
    assert contract.taker_fee > 0 < contract.slippage


@pytest.mark.parametrize("name", [*TASKS, "planted", "no such thing"])
def test_the_truth_is_known_of_planted_tasks_alone(name: str) -> None:
    """Sides at bars of the market itself, with the accuracy that the task states; else nothing."""
    found = truth(name)
    assert (found is not None) == (name in PLANTED or name == "planted")
    if found is None:
        return
    (bars,) = load_bars(name, "")
    assert np.isin(found.cue_time, bars.timestamp).all()
    assert set(np.unique(found.side)) == {-1, 1}
    assert name == "planted" or found.bayes_accuracy == TASKS[name].bayes_accuracy


@pytest.mark.parametrize("name", PLANTED)
def test_money_can_be_made_of_the_truth(name: str) -> None:
    """One who knows it reaches an edge share of 1 and earns, after costs and with the labels' exits."""
    fold, found = prepared(name), truth(name)
    assert found is not None
    test = fold.test
    stated = knowing(found, test.timestamps)
    assert edge_share(found, test.timestamps, test.action, stated) == 1.0
    assert fold.labels.barrier_atr is not None
    places = grounds(test, BacktestConfig(barrier_atr=fold.labels.barrier_atr))
    orders = spread(test, Signals(probabilities=stated).actions, places)
    account = trade_all("knowing", places, orders, "signal")
    assert account.equity[-1] > 1.05
    assert len(account.trades) > 100


def test_trees_find_the_easy_edge() -> None:
    """XGBoost reaches four fifths of what can be reached."""
    fold, found = prepared("planted-easy"), truth("planted-easy")
    assert found is not None
    agent = fit_xgboost(
        fold.train, fold.validation, XGBoostConfig(rounds=12, learning_rate=0.4, max_bin=16, n_jobs=1)
    )
    stated = agent.signals(fold.test.inputs(np.arange(len(fold.test)))).probabilities
    assert edge_share(found, fold.test.timestamps, fold.test.action, stated) > 0.8


def test_the_newest_bar_knows_nothing_of_the_order() -> None:
    """A regression fitted on cue rows' newest bars alone is a coin on later ones; with the truth beside the
    features it is not."""
    from sklearn.linear_model import LogisticRegression

    fold, found = prepared("order"), truth("order")
    assert found is not None
    side = knowing(found, fold.train.timestamps)[:, 1], knowing(found, fold.test.timestamps)[:, 1]
    shares = []
    for told in (False, True):
        table = []
        for rows, up in zip((fold.train, fold.test), side, strict=True):
            newest = rows.windows(np.arange(len(rows)))[:, -1]
            table.append(np.column_stack([newest, up]) if told else newest)
        cued = cue_rows(found, fold.train.timestamps) & (fold.train.action != Action.HOLD)
        model = LogisticRegression(C=0.1).fit(table[0][cued], fold.train.action[cued] == Action.BUY)
        rose = model.predict_proba(table[1])[:, 1]
        stated = np.column_stack([np.zeros_like(rose), rose, 1 - rose])
        shares.append(edge_share(found, fold.test.timestamps, fold.test.action, stated))
    cues = int((cue_rows(found, fold.test.timestamps) & (fold.test.action != Action.HOLD)).sum())
    assert abs(shares[0]) < 4.0 / math.sqrt(cues)
    assert shares[1] == 1.0


def test_edge_share_by_hand() -> None:
    """Four cue rows of which one is HOLD: the truth is right on 2 of 3, an agent on 3 of 3."""
    known = Truth(
        cue_time=np.array([10, 20, 30, 40]), side=np.array([1, -1, 1, -1], dtype=np.int8), bayes_accuracy=0.7
    )
    times = np.array([5, 10, 20, 25, 30, 40, 99])
    labels = np.array([2, 1, 2, 1, 2, 0, 1])
    right = np.eye(3)[labels]
    # 1/2 above a coin, where the truth is 2/3 - 1/2 above it.
    assert edge_share(known, times, labels, right) == pytest.approx(0.5 / (2 / 3 - 1 / 2))
    assert edge_share(known, times, labels, np.eye(3)[3 - np.maximum(labels, 1)]) == pytest.approx(-3.0)
    np.testing.assert_array_equal(cue_rows(known, times), [False, True, True, False, True, True, False])
    assert math.isnan(edge_share(known, times[:1], labels[:1], right[:1]))
    # On the one row at which the truth is wrong there is nothing to share.
    assert math.isnan(edge_share(known, times[4:5], labels[4:5], right[4:5]))


@pytest.mark.parametrize(("accuracy", "rows"), [(0.51, 15_455), (0.53, 1_716), (0.55, 617), (0.60, 153)])
def test_rows_to_tell_an_accuracy_from_luck(accuracy: float, rows: int) -> None:
    """80 % power, one-sided 5 %: n = ((0.5 z95 + sqrt(p (1 - p)) z80) / (p - 1/2))^2."""
    assert independent_rows(accuracy) == pytest.approx(rows, rel=0.001)
