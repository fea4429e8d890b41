from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.agents.baselines import EmaCross
from quantum_trader.envs.actions import Action
from quantum_trader.envs.market import sample_market
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.backtest import BacktestConfig, BacktestResult, grounds, pool, spread, trade_all
from quantum_trader.evaluate.coin_flips import flip_coins, moved, percentile
from quantum_trader.evaluate.position_agents import AgentPolicy, EmbeddingPolicy, decide_on_grounds
from quantum_trader.evaluate.records import Costs
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import prepare

CONFIG = BacktestConfig()


@pytest.fixture(scope="module")
def test_rows() -> PooledDataset:
    """The test split of the embedded sample: about 1,200 hours."""
    return prepare([sample_market()], DataConfig(labels=LabelConfig(barrier_atr=1.5))).test


def _constant(rows: PooledDataset, action: Action) -> np.ndarray:
    return np.full(len(rows), action, dtype=np.int8)


def _random(rows: PooledDataset, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(3, len(rows), p=[0.9, 0.05, 0.05]).astype(np.int8)


def test_a_ground_starts_with_one_window_and_ends_with_the_last_label(test_rows: PooledDataset) -> None:
    """The cut market holds the first window and the horizon of the last row, and nothing else."""
    (place,) = grounds(test_rows, CONFIG)
    assert place.start == WINDOW - 1
    assert place.cut + place.start == test_rows.end.min()
    assert place.cut + len(place.market) == test_rows.end.max() + CONFIG.horizon_bars + 1


def test_decisions_land_on_their_own_bars(test_rows: PooledDataset) -> None:
    """Each row's action stands at its own bar, and HOLD everywhere else."""
    (place,) = grounds(test_rows, CONFIG)
    actions = _random(test_rows)
    (laid,) = spread(test_rows, actions, [place])
    np.testing.assert_array_equal(laid[test_rows.end - place.cut], actions)
    assert np.count_nonzero(laid) == np.count_nonzero(actions)


def test_buy_and_hold_without_costs_is_the_price(test_rows: PooledDataset) -> None:
    """Bought at the second open with the first close's quantity, worth the close until the first long gap."""
    config = replace(CONFIG, cost_multiplier=0.0)
    places = grounds(test_rows, config)
    actions = spread(test_rows, _constant(test_rows, Action.BUY), places)
    (result,) = trade_all("hold", places, actions, "position").results
    market, start = places[0].market, places[0].start
    gap = np.flatnonzero(np.append(market.breaks[start:], True))[0]
    close, bought = market.bars.close[start + 1 : start + gap], market.bars.open[start + 1]
    quantity = result.positions[1]
    assert quantity == pytest.approx(10_000 / market.bars.close[start], rel=2e-3)
    np.testing.assert_allclose(result.equity[1:gap], 10_000 + quantity * (close - bought), rtol=1e-12)


def test_signal_agents_leave_by_barrier_or_horizon(test_rows: PooledDataset) -> None:
    """No trade of a signal agent outlasts the horizon; a position agent's may."""
    places = grounds(test_rows, CONFIG)
    actions = spread(test_rows, _random(test_rows), places)
    signal = trade_all("a", places, actions, "signal").trades
    position = trade_all("a", places, actions, "position").trades
    assert len(signal) > 20
    assert signal["bars_held"].max() <= CONFIG.horizon_bars
    assert {"take_profit", "stop_loss", "max_holding"} <= set(signal["exit_reason"])
    assert position["bars_held"].max() > CONFIG.horizon_bars


def test_profit_and_costs_add_up(test_rows: PooledDataset) -> None:
    """Trades explain the whole change of equity, and dearer trading costs in proportion or more."""
    places = grounds(test_rows, CONFIG)
    actions = spread(test_rows, _random(test_rows), places)
    (result,) = trade_all("a", places, actions, "signal").results
    assert result.trades["net_pnl"].sum() == pytest.approx(result.equity[-1] - result.equity[0], abs=1e-6)
    paid = result.trades["fees"].sum() + result.trades["slippage"].sum()
    assert result.costs.fees + result.costs.slippage == pytest.approx(paid / result.equity[0])
    dear = grounds(test_rows, replace(CONFIG, cost_multiplier=3.0))
    (other,) = trade_all("a", dear, actions, "signal").results
    assert other.equity[-1] < result.equity[-1]


def _account(symbol: str, times: list[int], equity: list[float]) -> BacktestResult:
    return BacktestResult(
        agent="a",
        symbol=symbol,
        timestamps=np.array(times, dtype=np.int64),
        equity=np.array(equity),
        positions=np.zeros(len(times)),
        trades=None,  # type: ignore[arg-type]
        costs=Costs(fees=0.0, slippage=0.0, funding=0.0, liquidation=0.0),
        liquidations=0,
    )


def test_a_portfolio_is_the_mean_of_its_accounts_on_one_clock() -> None:
    """Accounts count with their initial balance before they start and their last value after they end."""
    pooled = pool([_account("X", [1, 2, 3], [100, 110, 120]), _account("Y", [2, 4], [10, 20])])
    np.testing.assert_array_equal(pooled.timestamps, [1, 2, 3, 4])
    np.testing.assert_allclose(pooled.equity, [1.0, 1.05, 1.1, 1.6])


def test_moving_keeps_every_stretch() -> None:
    """The same decisions in the same circular order, later by a share of the period."""
    actions = np.repeat(np.array([0, 1, 0, 2, 1], np.int8), [5, 3, 4, 2, 6])
    np.testing.assert_array_equal(moved(actions, 0.25), np.concatenate([actions[-5:], actions[:-5]]))
    assert len(moved(actions[:0], 0.3)) == 0


def test_foresight_beats_coin_flips_and_chance_does_not(test_rows: PooledDataset) -> None:
    """Trading the labels themselves outdoes every move of them; random decisions land among theirs."""
    places = grounds(test_rows, CONFIG)
    ranks = []
    for actions in (test_rows.action, _random(test_rows, 5)):
        laid = spread(test_rows, actions, places)
        portfolio = trade_all("a", places, laid, "signal")
        found = flip_coins(portfolio, places, laid, "signal", draws=40, seed=1)
        assert found is not None
        ranks.append(found.return_percentile)
        assert found.mean_trades == pytest.approx(len(portfolio.trades), rel=0.15)
    assert ranks[0] == 1.0
    assert 0.01 < ranks[1] < 0.99


def test_an_agent_that_cannot_be_moved_ties_with_itself(test_rows: PooledDataset) -> None:
    """Always BUY is the same at any moment: it stands in the middle; always HOLD is not compared."""
    places = grounds(test_rows, CONFIG)
    (place,) = places
    buys = [np.full(len(place.market), Action.BUY, np.int8)]
    found = flip_coins(trade_all("a", places, buys, "position"), places, buys, "position", draws=5, seed=0)
    assert found is not None
    assert found.return_percentile == 0.5
    idle = spread(test_rows, _constant(test_rows, Action.HOLD), places)
    portfolio = trade_all("a", places, idle, "position")
    assert flip_coins(portfolio, places, idle, "position", draws=5, seed=0) is None


def test_percentile_counts_ties_half() -> None:
    """Two below, two equal, one above of five: 0.6; nothing to compare with is NaN."""
    assert percentile(2.0, np.array([0.0, 1.0, 2.0, 2.0, 3.0])) == pytest.approx(0.6)
    assert np.isnan(percentile(2.0, np.array([np.nan])))
    assert np.isnan(percentile(float("nan"), np.array([1.0])))


def test_stepping_an_agent_gives_its_batch_decisions(test_rows: PooledDataset) -> None:
    """An agent that ignores its account decides bar by bar what it decides in one batch."""
    agent = EmaCross(scaler=test_rows.markets[0].scaler)
    places = grounds(test_rows, CONFIG)
    (stepped,) = decide_on_grounds(
        AgentPolicy(agent, test_rows.markets), places, CONFIG.environment("position")
    )
    batch = agent.signals(test_rows.inputs(np.arange(len(test_rows)))).actions
    np.testing.assert_array_equal(stepped[test_rows.end - places[0].cut], batch)
    assert (stepped[: places[0].start] == Action.HOLD).all()


def test_a_policy_sees_the_account_its_decisions_make(test_rows: PooledDataset) -> None:
    """BUY when flat, SELL when long: every trade lasts one bar, which only the true account can tell."""
    places = grounds(test_rows, CONFIG)
    environment = CONFIG.environment("position")
    table = np.zeros((len(test_rows.markets[0]), 2), dtype=np.float32)

    def decide(_: np.ndarray, account: np.ndarray) -> np.ndarray:
        return np.where(account[:, 0] > 0, Action.SELL, Action.BUY).astype(np.int8)

    decided = decide_on_grounds(EmbeddingPolicy([table], decide), places, environment)
    trades = trade_all("a", places, decided, "position").trades
    assert len(trades) > 300
    assert (trades["bars_held"] <= 1).mean() > 0.98
