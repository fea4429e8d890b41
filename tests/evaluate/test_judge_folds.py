"""Several folds judged as one stretch of time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.backtest import BacktestConfig
from quantum_trader.evaluate.bench import BenchConfig
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import JudgedFold, judged_fold
from quantum_trader.evaluate.judge import JudgeConfig, Verdict, judge, judge_folds
from quantum_trader.evaluate.position_agents import AgentPolicy
from quantum_trader.evaluate.records import to_json
from quantum_trader.evaluate.sweep.folds import fold_splits
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.prepared import prepare

CONFIG = BenchConfig(coin_flips=5, bootstrap=BootstrapConfig(draws=50))
ENDS = 900
"""Bar at which the second symbol ends: within the first of two test slices."""


@pytest.fixture(scope="module")
def folds() -> list[JudgedFold]:
    """Two folds of two walks, of which WALK1 has no bar in the second."""
    first, second = (random_walk_bars(1_400, seed, symbol=f"WALK{seed}") for seed in (0, 1))
    markets = [Market.build(bars, preset("binance-btc")) for bars in (first, second[:ENDS])]
    splits = fold_splits(markets, WalkForwardConfig(folds=2))
    found = [judged_fold(prepare(markets, DataConfig(splits=each))) for each in splits]
    assert [len(set(fold.rows.market)) for fold in found] == [2, 1]
    return found


def guesses(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet((6.0, 5.0, 5.0), rows).astype(np.float32)


def alone(fold: JudgedFold, entrant: Entrant) -> Verdict:
    config = JudgeConfig(coin_flips=5, bootstrap=CONFIG.bootstrap, backtest=fold.backtest)
    return judge([entrant], fold.rows, fold.prior, config)


@pytest.fixture(scope="module")
def parts(folds: list[JudgedFold]) -> list[np.ndarray]:
    return [guesses(len(fold.rows), seed) for seed, fold in enumerate(folds)]


@pytest.fixture(scope="module")
def verdict(folds: list[JudgedFold], parts: list[np.ndarray]) -> Verdict:
    return judge_folds([Entrant(name="guess", probabilities=np.concatenate(parts))], folds, CONFIG)


@pytest.fixture(scope="module")
def single(folds: list[JudgedFold], parts: list[np.ndarray]) -> list[Verdict]:
    """Each fold judged by itself."""
    return [
        alone(fold, Entrant(name="guess", probabilities=part))
        for fold, part in zip(folds, parts, strict=True)
    ]


def test_one_fold_is_judged_as_a_test_slice_is(
    folds: list[JudgedFold], parts: list[np.ndarray], single: list[Verdict]
) -> None:
    """`judge_folds` with one fold finds what `judge` finds on its rows."""
    entrant = Entrant(name="guess", probabilities=parts[0])
    found = judge_folds([entrant], folds[:1], CONFIG)
    assert to_json(found.judgement) == to_json(single[0].judgement)


def test_accounts_go_on_from_fold_to_fold(verdict: Verdict, single: list[Verdict]) -> None:
    """An account's growth is the product of its folds', the portfolio's the mean of the accounts'."""
    (portfolio, _) = verdict.portfolios
    growth: dict[str, float] = {}
    for each in single:
        for result in each.portfolios[0].results:
            own = result.equity[-1] / result.equity[0]
            growth[result.symbol] = growth.get(result.symbol, 1.0) * own
    assert [result.symbol for result in portfolio.results] == ["WALK0", "WALK1"]
    for result in portfolio.results:
        assert result.equity[-1] / result.equity[0] == pytest.approx(growth[result.symbol])
        assert (np.diff(result.timestamps) > 0).all()
    total = verdict.judgement.agents[0].total_return.estimate
    assert total == pytest.approx(np.mean(list(growth.values())) - 1.0)
    assert (np.diff(portfolio.timestamps) > 0).all()


def test_a_symbol_that_ends_keeps_its_last_value(verdict: Verdict) -> None:
    """After WALK1's last bar the portfolio moves with WALK0 alone, WALK1's account standing still in it."""
    (portfolio, _) = verdict.portfolios
    going, ended = portfolio.results
    late = portfolio.timestamps > ended.timestamps[-1]
    assert late.sum() > 100
    rest = ended.equity[-1] / ended.equity[0]
    own = going.equity[np.isin(going.timestamps, portfolio.timestamps[late])] / going.equity[0]
    np.testing.assert_allclose(portfolio.equity[late], (own + rest) / 2)


def test_trades_and_costs_add_up(verdict: Verdict, single: list[Verdict]) -> None:
    """Trades are those of the folds; money in later folds has grown with the account, prices have not."""
    agent = verdict.judgement.agents[0]
    assert agent.trading.trades == sum(each.judgement.agents[0].trading.trades for each in single)
    assert [fold.trades for fold in agent.folds] == [
        each.judgement.agents[0].trading.trades for each in single
    ]
    assert [fold.total_return for fold in agent.folds] == [
        pytest.approx(each.judgement.agents[0].total_return.estimate) for each in single
    ]
    going = verdict.portfolios[0].results[0]
    early, late = (each.portfolios[0].results[0] for each in single)
    growth = early.equity[-1] / early.equity[0]
    assert going.costs.fees == pytest.approx(early.costs.fees + growth * late.costs.fees)
    mine = going.trades.iloc[len(early.trades) :].reset_index(drop=True)
    for name in ("quantity", "net_pnl", "fees"):
        np.testing.assert_allclose(mine[name], late.trades[name] * growth)
    for name in ("entry_price", "return_on_notional", "entry_bar"):
        np.testing.assert_array_equal(mine[name], late.trades[name])
    # What all trades made is what the account made.
    assert going.trades["net_pnl"].sum() == pytest.approx(going.equity[-1] - going.equity[0])


def test_coin_flips_stay_within_folds(folds: list[JudgedFold]) -> None:
    """Whoever buys at every moment of one fold and waits in the other does so in every coin flip too."""
    actions = np.concatenate(
        [np.full(len(fold.rows), action, np.int8) for fold, action in zip(folds, (1, 0), strict=True)]
    )
    (agent, _) = judge_folds([Entrant(name="early", actions=actions)], folds, CONFIG).judgement.agents
    assert agent.coin_flips is not None
    assert agent.coin_flips.return_quantiles == pytest.approx([agent.total_return.estimate] * 3)
    assert agent.coin_flips.return_percentile == 0.5
    assert agent.coin_flips.mean_trades == agent.trading.trades
    assert [fold.trades > 0 for fold in agent.folds] == [True, False]


class Trader:
    """Buys when it holds nothing, sells when it holds something."""

    name = "trader"

    def signals(self, inputs: ModelInputs) -> Signals:
        assert inputs.account is not None
        stated = np.zeros((len(inputs), 3), dtype=np.float32)
        flat = inputs.account[:, 0] == 0
        stated[flat, Action.BUY] = stated[~flat, Action.SELL] = 1.0
        return Signals(probabilities=stated)


def test_decisions_equal_the_policy_they_came_from(folds: list[JudgedFold]) -> None:
    """What a policy decided, given per ground, is judged as the policy is; folds one after the other too."""
    seen = [
        alone(
            fold,
            Entrant(name="trader", kind="position", policy=AgentPolicy(Trader(), fold.rows.markets)),
        )
        for fold in folds
    ]
    given = [each.decisions[0] for each in seen]
    again = alone(folds[0], Entrant(name="trader", kind="position", decisions=given[0]))
    assert to_json(again.judgement) == to_json(seen[0].judgement)
    joined = Entrant(name="trader", kind="position", decisions=(*given[0], *given[1]))
    both = judge_folds([joined], folds, CONFIG).judgement.agents[0]
    assert both.trading.trades == sum(each.judgement.agents[0].trading.trades for each in seen) > 10
    assert [fold.total_return for fold in both.folds] == [
        pytest.approx(each.judgement.agents[0].total_return.estimate) for each in seen
    ]


def test_every_fold_trades_by_its_own_barriers(folds: list[JudgedFold], parts: list[np.ndarray]) -> None:
    """A barrier changed in one fold changes what that fold earned, and no other."""
    wide = replace(folds[1], backtest=BacktestConfig(barrier_atr=9.0, horizon_bars=6))
    entrant = Entrant(name="guess", probabilities=np.concatenate(parts))
    before, after = (
        judge_folds([entrant], some, CONFIG).judgement.agents[0].folds for some in (folds, [folds[0], wide])
    )
    assert before[0] == after[0]
    assert before[1].total_return != after[1].total_return


def test_skill_is_measured_against_each_folds_own_prior(folds: list[JudgedFold]) -> None:
    """Stating the training shares of every fold has no skill, though they differ."""
    stated = np.concatenate([np.tile(fold.prior, (len(fold.rows), 1)) for fold in folds]).astype(np.float32)
    assert not np.array_equal(folds[0].prior, folds[1].prior)
    (agent, _) = judge_folds([Entrant(name="prior", probabilities=stated)], folds, CONFIG).judgement.agents
    assert agent.signal is not None
    assert agent.signal.log_loss_skill.estimate == pytest.approx(0.0, abs=1e-6)
    labels = np.concatenate([fold.rows.action for fold in folds])
    assert agent.signal.log_loss == pytest.approx(signal_metrics.log_loss(labels, stated))


def test_what_cannot_be_judged_is_refused(folds: list[JudgedFold]) -> None:
    """No fold, one policy for several, decisions of another length: one sentence each."""
    with pytest.raises(ConfigError, match="Judging needs test rows"):
        judge_folds([], [], CONFIG)
    policy = AgentPolicy(Trader(), folds[0].rows.markets)
    with pytest.raises(ConfigError, match="several folds need its decisions"):
        judge_folds([Entrant(name="one", kind="position", policy=policy)], folds, CONFIG)
    short = Entrant(name="short", kind="position", decisions=(np.zeros(3, np.int8),) * 3)
    with pytest.raises(ConfigError, match="one decision per bar"):
        judge_folds([short], folds, CONFIG)
