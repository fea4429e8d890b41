from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import PlantedConfig, planted_bars, random_walk_bars
from quantum_trader.evaluate import combinatorial
from quantum_trader.evaluate.backtest import BacktestConfig
from quantum_trader.evaluate.combinatorial import run_combinatorial, trade_group
from quantum_trader.evaluate.records import to_json
from quantum_trader.train.combinatorial import (
    CombinatorialConfig,
    combinations,
    group_bounds,
    market_rows,
    paths,
)
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.prepared import Datasets, prepare_rows
from quantum_trader.train.tree_config import LogisticConfig, XGBoostConfig

CONTRACT = FuturesContract(name="test")
SPLITS = CombinatorialConfig(groups=5, test_groups=2)
DATA = DataConfig(labels=LabelConfig(barrier_atr=1.4))
TREES = XGBoostConfig(rounds=12, max_depth=3, learning_rate=0.3, n_jobs=1)


@pytest.fixture(scope="module")
def planted() -> Market:
    """3,000 bars with cues that foretell what follows."""
    found = planted_bars(PlantedConfig(bars=3_000, seed=3, cue_probability=0.3, accuracy=0.95))
    return Market.build(found.bars, CONTRACT)


@pytest.fixture(scope="module")
def walks() -> list[Market]:
    """Two random walks, the second of which starts 700 bars later."""
    bars = [random_walk_bars(3_000, seed, symbol=f"WALK{seed}") for seed in range(2)]
    return [Market.build(bars[0], CONTRACT), Market.build(bars[1][700:], CONTRACT)]


class _Constant:
    """Answers every row alike."""

    hold_threshold = 0.5

    def __init__(self, action: Action) -> None:
        self.probabilities = np.eye(3, dtype=np.float32)[action] * 0.7 + 0.1

    def signals(self, inputs: ModelInputs) -> Signals:
        return Signals(
            probabilities=np.tile(self.probabilities, (len(inputs.windows), 1)).astype(np.float32),
            quantiles=None,
        )


def test_an_edge_shows_on_every_path(planted: Market) -> None:
    """Where cues foretell prices and trading is free, trees earn on all four paths through the same bars."""
    free = BacktestConfig(cost_multiplier=0.0)
    said: list[str] = []
    found = run_combinatorial(
        [planted],
        DATA,
        agent="xgboost",
        settings=TREES,
        config=replace(SPLITS, embargo_bars=100),
        backtest=free,
        say=said.append,
    )
    assert len(found.sharpes) == len(found.returns) == len(found.trades) == SPLITS.paths == 4
    assert len(said) == found.fits == len(combinations(SPLITS))
    assert min(found.sharpes) > 0
    assert len(set(found.bars)) == 1
    usable = int(planted.usable.sum())
    assert found.bars[0] == usable - 1


def test_a_random_walk_loses_its_costs_on_every_path(walks: list[Market]) -> None:
    """Nothing is earned where there is nothing to know, also with a market that starts later."""
    found = run_combinatorial(
        walks, DATA, agent="logistic", config=SPLITS, settings=LogisticConfig(max_rows=300)
    )
    assert max(found.returns) < 0
    assert found.symbols == ("WALK0", "WALK1")
    assert min(found.trades) > 0


def test_the_same_seed_gives_the_same_paths_as_plain_json(planted: Market) -> None:
    """Two runs agree to the bit, and the record is JSON."""
    first, second = (
        run_combinatorial(
            [planted], DATA, agent="logistic", config=SPLITS, settings=LogisticConfig(max_rows=200), seed=4
        )
        for _ in range(2)
    )
    assert first == second
    plain = json.loads(json.dumps(to_json(first)))
    assert plain["config"] == {"groups": 5, "test_groups": 2, "embargo_bars": 200}
    assert plain["sharpes"] == list(first.sharpes)


def test_each_answer_lands_on_its_own_path(walks: list[Market], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one combination trades and the others hold, only the paths that take its answers trade."""
    fits = iter(range(100))

    def fit(*_: Any) -> _Constant:
        return _Constant(Action.BUY if next(fits) == 3 else Action.HOLD)

    monkeypatch.setattr(combinatorial, "fit_logistic", fit)
    found = run_combinatorial(walks[:1], DATA, agent="logistic", config=SPLITS)
    using = (paths(SPLITS) == 3).any(axis=1)
    assert 0 < using.sum() < len(using)
    assert [count > 0 for count in found.trades] == using.tolist()
    assert np.isnan(found.sharpes).tolist() == (~using).tolist()
    assert to_json(found)["sharpes"].count(None) == (~using).sum()


def _datasets(markets: list[Market], test: tuple[int, ...]) -> Datasets:
    bounds = group_bounds(markets, SPLITS)
    rows = [
        market_rows(market, bounds, test, SPLITS, reach_bars=DATA.labels.reach_bars) for market in markets
    ]
    return prepare_rows(markets, rows, DATA)


@pytest.mark.parametrize("test", [(1, 2), (1, 3), (0, 4)])
def test_a_group_is_traded_flat_to_flat(walks: list[Market], test: tuple[int, ...]) -> None:
    """No trade crosses a group's ends, and a group has the same bars whatever its neighbour is."""
    bounds = group_bounds(walks, SPLITS)
    rows = _datasets(walks, test).test
    actions = np.full(len(rows), Action.BUY, dtype=np.int8)
    for group in test:
        start, end = bounds[group], bounds[group + 1]
        for result in trade_group("x", rows, actions, bounds, group, BacktestConfig()):
            market = next(market for market in walks if market.symbol == result.symbol)
            time = market.bars.timestamp
            expected = time[(time >= max(start, time[market.usable][0])) & (time < end)]
            np.testing.assert_array_equal(result.timestamps, expected)
            entered = result.trades["entry_time"].dt.as_unit("ms").astype(np.int64)
            left = result.trades["exit_time"].dt.as_unit("ms").astype(np.int64)
            assert len(entered) > 0
            assert ((entered > start) & (left < end)).all()
            assert result.positions[0] == result.positions[-1] == 0


def test_a_market_with_one_bar_in_a_group_is_left_out(walks: list[Market]) -> None:
    """A row on the last bar of a group, where no order could fill, trades nothing and breaks nothing."""
    rows = _datasets(walks[:1], (1, 2)).test
    bounds = group_bounds(walks[:1], SPLITS)
    last = rows.subset(rows.timestamps == rows.timestamps[rows.timestamps < bounds[2]][-1])
    buy = np.full(len(last), Action.BUY, dtype=np.int8)
    assert len(last) == 1
    assert trade_group("x", last, buy, bounds, 1, BacktestConfig()) == []
    assert trade_group("x", last, buy, bounds, 2, BacktestConfig()) == []


def test_settings_of_another_model_are_an_error(walks: list[Market]) -> None:
    """Trees with the regression's settings are refused before anything is fitted."""
    with pytest.raises(ConfigError, match="LogisticConfig"):
        run_combinatorial(walks, DATA, agent="xgboost", settings=LogisticConfig(), config=SPLITS)
