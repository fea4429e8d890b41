from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from report_data import checks, paths, trials

from quantum_trader.envs.market import sample_market
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.judge import JudgeConfig, Verdict, judge
from quantum_trader.evaluate.report.assemble import assemble, split_summary
from quantum_trader.evaluate.report.render import render_report
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.prepared import Prepared, prepare


@dataclass
class Rows:
    """The two arrays of the judged rows that a report may use."""

    action: NDArray[np.int8]
    timestamps: NDArray[np.int64]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare([sample_market()], DataConfig(labels=LabelConfig(barrier_atr=1.5)))


@pytest.fixture(scope="module")
def verdict(prepared: Prepared) -> Verdict:
    test = prepared.test
    rng = np.random.default_rng(0)
    entrants = [
        Entrant(name=name, probabilities=rng.dirichlet((4.0, 6.0, 6.0), len(test)).astype(np.float32))
        for name in ("noise", "noise-seed1", "other")
    ]
    config = JudgeConfig(coin_flips=0, bootstrap=BootstrapConfig(draws=100))
    return judge(entrants, test, signal_metrics.class_shares(prepared.train.action), config)


@pytest.fixture(scope="module")
def rows(prepared: Prepared) -> Rows:
    return Rows(action=prepared.test.action, timestamps=prepared.test.timestamps)


def test_labels_and_moments_are_all_it_asks_of_the_rows(
    prepared: Prepared, verdict: Verdict, rows: Rows
) -> None:
    """Rows of any kind with the two arrays give the page that the dataset gives."""
    whole = assemble(verdict, prepared.test, title="t")
    assert render_report(assemble(verdict, rows, title="t")) == render_report(whole)
    assert split_summary("test", rows) == split_summary("test", prepared.test)


def test_what_is_not_given_is_left_out(verdict: Verdict, rows: Rows) -> None:
    """The arguments of old are enough; checks, trials and paths are taken as they are given."""
    bare = assemble(verdict, rows, title="t")
    assert (bare.checks, bare.trials, bare.paths) == ((), (), ())
    full = assemble(verdict, rows, title="t", checks=checks(), trials=trials(), paths=paths("other"))
    assert (full.checks, full.trials) == (checks(), trials())
    assert [item.agent for item in full.paths] == ["other"]


def test_the_band_is_the_first_learners(verdict: Verdict, rows: Rows) -> None:
    """One band, which ends as the interval of that agent's net return."""
    (band,) = assemble(verdict, rows, title="t").bands
    assert band.name == "noise"
    found = verdict.judgement.agents[0].total_return
    assert (band.low[-1] - 1, band.high[-1] - 1) == pytest.approx((found.low, found.high))
    assert band.timestamps[-1] == verdict.portfolios[0].timestamps[-1]


def test_further_seeds_have_no_curves_of_their_own(verdict: Verdict, rows: Rows) -> None:
    """Reliability, coverage and win rates show the first seed of each agent."""
    data = assemble(verdict, rows, title="t")
    for curves in (data.reliability, data.coverage, data.rolling):
        assert [item.name for item in curves] == ["noise", "other"]
    assert [item.name for item in data.equity] == ["noise", "noise-seed1", "other", "buy_and_hold"]


def test_rolling_win_rates_are_of_the_agents_own_trades(verdict: Verdict, rows: Rows) -> None:
    """The last point is the win rate of the trades closed in the last window."""
    found = assemble(verdict, rows, title="t").rolling[0]
    portfolio = verdict.portfolios[0]
    closed = portfolio.trades["exit_time"].dt.as_unit("ms").astype(np.int64).to_numpy()
    mine = closed >= portfolio.timestamps[-found.window_bars]
    assert found.win_rate[-1] == pytest.approx(float((portfolio.trades["net_pnl"][mine] > 0).mean()))


def test_candles_are_the_last_folds(verdict: Verdict, rows: Rows) -> None:
    """Of several grounds of one symbol the last is shown, up to 500 bars."""
    whole = assemble(verdict, rows, title="t").candles
    assert whole is not None
    assert len(whole.timestamps) == min(500, len(verdict.decisions[0][0]) - verdict.places[0].start)
    place = verdict.places[0]
    early = replace(place, market=place.market.rows(0, place.start + 100))
    both = replace(
        verdict,
        places=(early, place),
        decisions=tuple((mine[0][: place.start + 100], mine[0]) for mine in verdict.decisions),
    )
    found = assemble(both, rows, title="t").candles
    assert found is not None
    np.testing.assert_array_equal(found.timestamps, whole.timestamps)
