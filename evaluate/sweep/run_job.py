"""`run_job`: fit one agent on one fold, ask it about the fold's test rows, trade them, keep all of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from quantum_trader.envs.market import Market
from quantum_trader.evaluate import signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.backtest import Portfolio
from quantum_trader.evaluate.bench import trade
from quantum_trader.evaluate.folds import Folds, judged_fold
from quantum_trader.evaluate.ledger import bar_figures, new_trial
from quantum_trader.evaluate.records import Trial
from quantum_trader.evaluate.run_config import MarketConfig, RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.run_stages import Stages
from quantum_trader.evaluate.run_train import Fitting
from quantum_trader.evaluate.suite.guard import Failure, guarded, measured
from quantum_trader.evaluate.sweep.agents import is_built_in
from quantum_trader.evaluate.sweep.answers import RETURNS, Answers, JobOutcome, failed, write_outcome
from quantum_trader.evaluate.sweep.job import Job, trial_key
from quantum_trader.evaluate.sweep.ours import Ask, fit_ours
from quantum_trader.evaluate.sweep.theirs import fit_theirs
from quantum_trader.train.data_config import DataConfig, LabelConfig, SplitConfig, WeightConfig
from quantum_trader.train.prepared import Prepared, prepare


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """An agent's answers, what trading them came to, and the seconds both took."""

    answers: Answers
    portfolio: Portfolio
    seconds_fit: float | None
    seconds_answer: float


def run_job(job: Job) -> JobOutcome:
    """Do a job and write its folder; whatever goes wrong with the agent is recorded as its failure.

    Raises:
        QuantumTraderError: the data cannot be used, which no agent is to blame for.
    """
    prepared = fold_data(job.run)
    # Somebody else's code may hang or end the process it runs in.
    found = measured(_ours, job) if is_built_in(job.agent) else guarded(_theirs, job, limit_s=job.limit_s)
    peak = found.peak_bytes if np.isfinite(found.peak_bytes) else None
    if isinstance(found, Failure):
        outcome = failed(job, found.reason, peak)
        write_outcome(job.folder, outcome)
        return outcome
    answered = found.value
    done = JobOutcome(
        key=job.key,
        task=job.task,
        agent=job.agent,
        fold=job.fold,
        seed=job.seed,
        status="done",
        kind=answered.answers.kind,
        seconds_fit=answered.seconds_fit,
        seconds_answer=answered.seconds_answer,
        peak_bytes=peak,
        trial=_trial(job, prepared, answered),
    )
    portfolio = answered.portfolio
    returns = portfolio.timestamps[1:], metrics.log_returns(portfolio.equity)
    write_outcome(job.folder, done, answered.answers, returns)
    return done


def forget_data() -> None:
    """Read all data anew from here on: a file may have changed since the latest benchmark of this process."""
    markets_of.cache_clear()
    _prepared.cache_clear()


def fold_data(run: RunConfig) -> Prepared:
    """The rows of a fold; those of the latest folds are kept in memory."""
    return _prepared(run.market, run.splits, run.labels, run.weights)


@lru_cache(maxsize=1)
def markets_of(config: MarketConfig) -> tuple[Market, ...]:
    """The markets of a task; the latest are kept in memory."""
    return tuple(load_markets(config))


@lru_cache(maxsize=2)
def _prepared(
    market: MarketConfig, splits: SplitConfig, labels: LabelConfig, weights: WeightConfig
) -> Prepared:
    return prepare(markets_of(market), DataConfig(labels=labels, splits=splits, weights=weights))


def _ours(job: Job) -> Answered:
    """Fit one of our agents, or load what an earlier start fitted, and ask it."""
    prepared = fold_data(job.run)
    stages = Stages(job.run.folder, _say_nothing)
    ask = fit_ours(job.agent, Fitting(job.run.seeded(), prepared, stages))
    return _asked(ask, prepared, stages.seconds.get(job.agent))


def _theirs(job: Job) -> Answered:
    """Fit somebody else's agent and ask it, in a process of its own."""
    return answer_theirs(job.agent, fold_data(job.run), job.run.seed)


def answer_theirs(spec: str, prepared: Prepared, seed: int) -> Answered:
    """Fit a contestant on a fold and ask it about the test rows; arguments and errors as `fit_theirs`."""
    started = time.perf_counter()
    ask = fit_theirs(spec, prepared, seed)
    return _asked(ask, prepared, time.perf_counter() - started)


def _asked(ask: Ask, prepared: Prepared, seconds_fit: float | None) -> Answered:
    folds = Folds([judged_fold(prepared)])
    started = time.perf_counter()
    entrant = ask(prepared.test)
    answered = time.perf_counter()
    portfolio, actions = trade(entrant, folds)
    by_account = entrant.policy is not None
    # A policy answers while it trades.
    ended = time.perf_counter() if by_account else answered
    return Answered(
        answers=Answers(
            kind=entrant.kind,
            probabilities=entrant.probabilities,
            actions=None if by_account else entrant.row_actions,
            quantiles=entrant.quantiles,
            decisions=tuple(actions) if by_account else None,
        ),
        portfolio=portfolio,
        seconds_fit=seconds_fit,
        seconds_answer=ended - started,
    )


def _trial(job: Job, prepared: Prepared, answered: Answered) -> Trial:
    portfolio, stated = answered.portfolio, answered.answers.probabilities
    return new_trial(
        bar_figures(portfolio.equity),
        trial=trial_key(job.run, job.agent, job.source),
        key=job.key,
        agent=job.agent,
        # As a run with that seed would write it: which number it has here says nothing.
        seed=job.run.seed,
        data=prepared.data_sha256,
        split="test",
        start_ms=int(portfolio.timestamps[0]),
        end_ms=int(portfolio.timestamps[-1]),
        log_loss=None if stated is None else signal_metrics.log_loss(prepared.test.action, stated),
        returns="/".join((*job.folder.parts[-3:], RETURNS)),
    )


def _say_nothing(line: str) -> None:
    """A fold says nothing by itself: the sweep does, job by job."""
