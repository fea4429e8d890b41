"""An edge over several bars decays with delay; what a fault earns inside one bar falls off a cliff."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.synthetic import PlantedConfig, PlantedMarket, planted_bars, random_walk_bars
from quantum_trader.evaluate.backtest import Actions, BacktestConfig, BacktestResult, Ground, trade
from quantum_trader.evaluate.checks.chance import plain_market
from quantum_trader.evaluate.checks.delay import delay_is_smooth
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import Prepared, prepare

HOLD = 6


@pytest.fixture(scope="module")
def planted() -> PlantedMarket:
    """Cues that foretell six bars."""
    return planted_bars(PlantedConfig(bars=6_000, hold=HOLD, cue_probability=0.5))


@pytest.fixture(scope="module")
def rows(planted: PlantedMarket) -> Prepared:
    """The planted market, labelled and split."""
    return prepare([plain_market(planted.bars)], DataConfig())


@pytest.fixture(scope="module")
def walk() -> Prepared:
    """A random walk, on which nothing but a fault can pay."""
    return prepare([plain_market(random_walk_bars(4_000, 5))], DataConfig())


@pytest.fixture(scope="module")
def rules(rows: Prepared) -> BacktestConfig:
    """How the run's labels are traded."""
    assert rows.labels.barrier_atr is not None
    return BacktestConfig(barrier_atr=rows.labels.barrier_atr, horizon_bars=rows.labels.horizon_bars)


def sides(values: NDArray[np.floating]) -> Actions:
    """BUY where positive, SELL where negative."""
    return np.where(values > 0, Action.BUY, np.where(values < 0, Action.SELL, Action.HOLD)).astype(np.int8)


def trade_within_the_bar(agent: str, place: Ground, actions: Actions, config: EnvConfig) -> BacktestResult:
    """Fills at the open of the bar whose close was decided on, unless a delay is asked for."""
    return trade(agent, place, np.roll(actions, -1) if config.delay_bars == 0 else actions, config)


def test_an_edge_over_several_bars_decays(
    planted: PlantedMarket, rows: Prepared, rules: BacktestConfig
) -> None:
    """Who follows the cues keeps most of the edge with a bar of delay."""
    found = delay_is_smooth(rows.test, sides(planted.cue[rows.test.end]), rules)
    assert found.passed is True, found.detail
    assert "leaves" in found.detail


def test_who_knows_the_next_bar_falls_off_a_cliff(walk: Prepared, rules: BacktestConfig) -> None:
    """Decisions by the next bar's own move earn that bar and nothing after it."""
    bars = walk.markets[0].bars
    foreseen = np.log(bars.close[walk.test.end + 1] / bars.open[walk.test.end + 1])
    found = delay_is_smooth(walk.test, sides(foreseen), rules)
    assert found.passed is False, found.detail


def test_a_backtest_that_fills_in_the_same_bar_falls_off_a_cliff(
    walk: Prepared, rules: BacktestConfig
) -> None:
    """Following each bar's own move pays if filled at its open, and nothing any later."""
    bars = walk.markets[0].bars
    own = np.log(bars.close[walk.test.end] / bars.open[walk.test.end])
    assert delay_is_smooth(walk.test, sides(own), rules).passed is True
    found = delay_is_smooth(walk.test, sides(own), rules, trade_within_the_bar)
    assert found.passed is False, found.detail


def test_without_an_edge_there_is_no_cliff(rows: Prepared, rules: BacktestConfig) -> None:
    """Random decisions and no decisions pass."""
    random = np.random.default_rng(0).integers(0, 3, len(rows.test)).astype(np.int8)
    for actions in (random, np.zeros(len(rows.test), dtype=np.int8)):
        found = delay_is_smooth(rows.test, actions, rules)
        assert found.passed is True
        assert "no edge" in found.detail
