"""One job: an agent on a fold, whatever becomes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.evaluate.folds import judged_fold
from quantum_trader.evaluate.ledger import bar_figures
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.suite.tasks import Task
from quantum_trader.evaluate.sweep.answers import RETURNS, read_answers, read_outcome
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.job import Job
from quantum_trader.evaluate.sweep.plan import plan_jobs
from quantum_trader.evaluate.sweep.run_job import fold_data, forget_data, markets_of, run_job
from quantum_trader.evaluate.sweep.worker import limited_threads

BAD = Path(__file__).parents[1] / "suite" / "bad_agents.py"


def planned(config: BenchmarkConfig, agent: str) -> list[Job]:
    task = Task(name="data", title="bars", market=config.market, claim="open")
    asked = replace(config, agents=(agent,))
    return list(plan_jobs(asked, task, markets_of(config.market)))


def test_a_job_leaves_answers_returns_and_a_line(config: BenchmarkConfig) -> None:
    """Answers to every test row, returns of every bar, and a line of the ledger that agrees with them."""
    job = planned(config, "logistic")[1]
    outcome = run_job(job)
    assert repr(read_outcome(job.folder)) == repr(outcome)
    assert (outcome.status, outcome.reason, outcome.fold) == ("done", "", 1)
    answers = read_answers(job.folder, outcome.kind)
    rows = fold_data(job.run).test
    assert answers.probabilities is not None
    assert answers.actions is not None
    assert answers.probabilities.shape == (len(rows), 3)
    assert answers.actions.shape == (len(rows),)
    with np.load(job.folder / RETURNS) as found:
        returns = found["log_returns"]
        assert len(found["timestamps"]) == len(returns)
    trial = outcome.trial
    assert trial is not None
    figures = bar_figures(np.exp(np.concatenate([[0.0], np.cumsum(returns)])))
    assert (trial.bars, trial.key) == (figures.bars, job.key)
    assert trial.sharpe == pytest.approx(figures.sharpe)
    assert (config.out / trial.returns).samefile(job.folder / RETURNS)
    assert (job.run.folder / "models" / "logistic" / "config.json").is_file()


def test_the_same_job_gives_the_same_answers(config: BenchmarkConfig, tmp_path: Path) -> None:
    """Fitted elsewhere, it says the same to the bit."""
    first = planned(config, "xgboost")[0]
    second = planned(replace(config, out=tmp_path / "elsewhere"), "xgboost")[0]
    assert first.key == second.key
    said = [read_answers(job.folder, run_job(job).kind).probabilities for job in (first, second)]
    assert said[0] is not None
    np.testing.assert_array_equal(said[0], said[1])


def test_later_bars_change_no_answer(config: BenchmarkConfig, tmp_path: Path) -> None:
    """With garbage after the fold's test slice, the agents that a job fits say the same to the bit."""
    job = planned(config, "xgboost")[0]
    bars = sample_bars()[:1_400]
    late = bars.timestamp >= fold_data(job.run).cuts.test_end
    assert 100 < late.sum() < 700
    factor = np.where(late, np.random.default_rng(0).uniform(0.5, 2.0, len(bars)), 1.0)
    names = [name for name in vars(bars) if name.endswith(("open", "high", "low", "close"))]
    prices = {name: getattr(bars, name) * factor for name in names}
    path = tmp_path / "garbled" / "EURUSD.parquet"
    path.parent.mkdir()
    write_bars(replace(bars, **prices), path)
    other = replace(job, run=replace(job.run, market=MarketConfig(data=str(path)), out=tmp_path / "garbled"))
    said = []
    for each in (job, replace(other, folder=tmp_path / "garbled" / "job")):
        assert run_job(each).status == "done"
        said.append(read_answers(each.folder, "signal").probabilities)
    np.testing.assert_array_equal(said[0], said[1])


def test_an_agent_that_never_answers_is_stopped(
    config: BenchmarkConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When its time is over it counts as failed, with the reason."""
    monkeypatch.setenv("HANGING_CHILD", str(tmp_path / "child"))
    (job,) = [job for job in planned(replace(config, limit_s=1.0), f"{BAD}:Hangs") if job.fold == 0]
    outcome = run_job(job)
    assert outcome.status == "failed"
    assert outcome.reason == "It did not come to its end within 1 s and was stopped."
    assert read_outcome(job.folder) == outcome
    assert outcome.trial is None


def test_somebodys_trader_is_kept_by_its_decisions(config: BenchmarkConfig) -> None:
    """An agent that looks at its account leaves one decision a bar of each ground, and no probabilities."""
    job = planned(config, f"{BAD}:Trader")[0]
    outcome = run_job(job)
    assert (outcome.status, outcome.kind) == ("done", "position")
    answers = read_answers(job.folder, outcome.kind)
    assert answers.probabilities is None
    assert answers.actions is None
    assert answers.decisions is not None
    (decided,) = answers.decisions
    fold = judged_fold(fold_data(job.run))
    assert len(decided) >= len(fold.rows)
    assert {1, 2} <= set(decided.tolist())


def test_a_file_that_changed_is_read_anew(config: BenchmarkConfig, tmp_path: Path) -> None:
    """After `forget_data` the bars are those on the disk."""
    path = tmp_path / "EURUSD.parquet"
    market = MarketConfig(data=str(path))
    write_bars(sample_bars()[:300], path)
    assert len(markets_of(market)[0]) == 300
    write_bars(sample_bars()[:400], path)
    forget_data()
    assert len(markets_of(market)[0]) == 400


def test_threads_do_not_decide_answers(config: BenchmarkConfig, tmp_path: Path) -> None:
    """A light agent fitted with two threads says what it says with one."""
    said = []
    for threads in (1, 2):
        job = planned(replace(config, out=tmp_path / str(threads)), "logistic")[0]
        with limited_threads(threads):
            said.append(read_answers(job.folder, run_job(job).kind).probabilities)
    np.testing.assert_allclose(said[0], said[1], atol=1e-6)  # type: ignore[arg-type]
