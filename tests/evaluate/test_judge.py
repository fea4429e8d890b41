from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import sample_market
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.judge import JudgeConfig, Verdict, judge
from quantum_trader.evaluate.records import to_json, write_metrics
from quantum_trader.evaluate.report.assemble import assemble, split_summary
from quantum_trader.evaluate.report.render import render_report
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared, prepare

CONFIG = JudgeConfig(coin_flips=20, bootstrap=BootstrapConfig(draws=200))
CHOSEN = Gate(threshold=0.57)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare([sample_market()], DataConfig(labels=LabelConfig(barrier_atr=1.5)))


def _knowing(test: PooledDataset) -> np.ndarray:
    """Probabilities that lean towards the label: what a leak would look like."""
    stated = np.full((len(test), 3), 0.3, dtype=np.float32)
    stated[np.arange(len(test)), test.action] = 0.4
    return stated


def _guessing(test: PooledDataset) -> np.ndarray:
    return np.random.default_rng(0).dirichlet((6.0, 5.0, 5.0), len(test)).astype(np.float32)


@pytest.fixture(scope="module")
def verdict(prepared: Prepared) -> Verdict:
    test = prepared.test
    entrants = [
        Entrant(name="knowing", probabilities=_knowing(test), gate=CHOSEN),
        Entrant(name="guessing", probabilities=_guessing(test)),
        Entrant(name="always_hold", role="baseline", actions=np.zeros(len(test), np.int8)),
    ]
    return judge(entrants, test, signal_metrics.class_shares(prepared.train.action), CONFIG)


def test_buy_and_hold_is_always_judged(verdict: Verdict) -> None:
    """It is added where it is missing, and nobody's excess is measured against anything else."""
    names = [agent.name for agent in verdict.judgement.agents]
    assert names == ["knowing", "guessing", "always_hold", "buy_and_hold"]
    assert verdict.judgement.agents[-1].excess_over_hold is None
    assert all(agent.excess_over_hold is not None for agent in verdict.judgement.agents[:-1])


def test_knowledge_is_found_and_guessing_is_not(verdict: Verdict) -> None:
    """Labels known in advance show in every measure; guesses have no skill and lose to costs."""
    knowing, guessing = verdict.judgement.agents[:2]
    assert knowing.signal is not None
    assert guessing.signal is not None
    assert knowing.signal.accuracy == 1.0
    assert knowing.signal.log_loss_skill.above_zero
    assert knowing.total_return.above_zero
    assert knowing.coin_flips is not None
    assert knowing.coin_flips.return_percentile == 1.0
    assert guessing.signal.log_loss_skill.below_zero
    assert guessing.signal.direction_accuracy.low < 0.5 < guessing.signal.direction_accuracy.high


def test_doing_nothing_costs_and_earns_nothing(verdict: Verdict) -> None:
    """Always HOLD ends where it began, without trades, coin flips or a win rate."""
    idle = verdict.judgement.agent("always_hold")
    assert idle is not None
    assert idle.trading.total_return == 0.0
    assert idle.trading.trades == 0
    assert idle.coin_flips is None
    assert np.isnan(idle.win_rate.estimate)
    assert idle.trading.costs.total == 0.0


def test_the_confidence_table_holds_all_gates(verdict: Verdict) -> None:
    """Five thresholds, the chosen one marked, the fixed three-class one last; coverage never grows."""
    rows = [row for row in verdict.judgement.agents[0].confidence if row.share is None]
    assert [row.threshold for row in rows] == [0.5, 0.52, 0.55, 0.57, 0.6, 0.65, 0.65]
    assert [row.chosen for row in rows] == [False, False, False, True, False, False, False]
    assert rows[-1].measure == "three-class"
    coverage = [row.coverage for row in rows[:-1]]
    assert coverage == sorted(coverage, reverse=True)
    assert (rows[-1].coverage, rows[-1].trades) == (0.0, 0)


def test_the_confident_tail_is_traded_by_itself(verdict: Verdict) -> None:
    """A gate of its own lets the most confident tenth and hundredth of the rows through, no fewer."""
    rows = {row.share: row for row in verdict.judgement.agents[1].confidence if row.share is not None}
    assert list(rows) == [0.1, 0.01]
    assert [rows[share].coverage for share in rows] == pytest.approx(list(rows), abs=5e-4)
    assert rows[0.1].trades > rows[0.01].trades > 0


def test_the_chosen_gate_is_what_is_traded(verdict: Verdict) -> None:
    """An entrant with a gate trades through it: its row in the table is its own result."""
    agent = verdict.judgement.agents[0]
    (row,) = [row for row in agent.confidence if row.chosen]
    assert row.trades == agent.trading.trades
    assert row.total_return == pytest.approx(agent.trading.total_return)


def test_judging_is_reproducible(prepared: Prepared, verdict: Verdict) -> None:
    """The same agents on the same rows give the same record."""
    prior = signal_metrics.class_shares(prepared.train.action)
    again = judge(verdict.entrants, prepared.test, prior, CONFIG)
    assert to_json(again.judgement) == to_json(verdict.judgement)


def test_the_verdict_becomes_metrics_and_a_report(
    prepared: Prepared, verdict: Verdict, tmp_path: Path
) -> None:
    """Both files can be written from it, and the report names every agent."""
    write_metrics(tmp_path / "metrics.json", verdict.judgement)
    summary = split_summary("test", prepared.test)
    text = render_report(assemble(verdict, prepared.test, title="Run", splits=(summary,)))
    for agent in verdict.judgement.agents:
        assert agent.name in text
    assert "Signals on EURUSD" in text
    assert "By symbol" not in text


def test_bad_entrants_are_refused_with_a_remedy(prepared: Prepared) -> None:
    """Nothing to judge, a wrong length, or one name twice: the message says which and what was expected."""
    test, prior = prepared.test, np.array([0.4, 0.3, 0.3])
    with pytest.raises(ConfigError, match="expected actions, probabilities or a policy"):
        judge([Entrant(name="empty")], test, prior)
    short = np.zeros(3, np.int8)
    with pytest.raises(ConfigError, match=f"short: expected {len(test)} rows of actions, found 3"):
        judge([Entrant(name="short", actions=short)], test, prior)
    twice = Entrant(name="twin", actions=np.zeros(len(test), np.int8))
    with pytest.raises(ConfigError, match="a name of its own"):
        judge([twice, twice], test, prior)


def test_gates_by_hand() -> None:
    """Directional 0.6 / (0.6 + 0.2) = 0.75 passes 0.7; three-class 0.6 fails 0.65; HOLD 0.2 is too much."""
    stated = np.array([[0.2, 0.6, 0.2]], dtype=np.float32)
    assert Gate(threshold=0.7).decide(stated).tolist() == [1]
    assert Gate(threshold=0.8).decide(stated).tolist() == [0]
    assert Gate(measure="three-class", threshold=0.65).decide(stated).tolist() == [0]
    assert Gate(threshold=0.7, hold_threshold=0.15).decide(stated).tolist() == [0]
