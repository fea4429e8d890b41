"""The ledger's lines of a run: every agent it trained counts as tried, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.files import json_sha256
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.backtest import Portfolio
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.judge import Verdict
from quantum_trader.evaluate.ledger import bar_figures, new_trial
from quantum_trader.evaluate.records import Trial
from quantum_trader.evaluate.run_config import SEED_MARK, RunConfig
from quantum_trader.evaluate.sweep.job import trial_key
from quantum_trader.train.prepared import Prepared


def run_trials(config: RunConfig, prepared: Prepared, verdict: Verdict) -> tuple[Trial, ...]:
    """One line a trained agent, with what it did on the run's test slice.

    Args:
        config: the run.
        prepared: its data.
        verdict: on its own test rows.
    """
    judged: Sequence[tuple[Entrant, Portfolio]] = list(zip(verdict.entrants, verdict.portfolios, strict=True))
    return tuple(
        _trial(config, prepared, verdict, entrant, portfolio)
        for entrant, portfolio in judged
        if entrant.role == "learner"
    )


def run_key(config: RunConfig, prepared: Prepared, name: str) -> str:
    """`Trial.key` of an agent of a run: of its configuration, its seed, the data and the dates."""
    agent, seed = _agent_and_seed(config, name)
    trial = trial_key(config, agent, "")
    return json_sha256([trial, seed, prepared.data_sha256, to_plain(prepared.cuts)])


def _agent_and_seed(config: RunConfig, name: str) -> tuple[str, int]:
    agent, _, further = name.partition(SEED_MARK)
    return agent, config.seed + int(further or 0)


def _trial(
    config: RunConfig, prepared: Prepared, verdict: Verdict, entrant: Entrant, portfolio: Portfolio
) -> Trial:
    agent, seed = _agent_and_seed(config, entrant.name)
    stated = entrant.probabilities
    return new_trial(
        bar_figures(portfolio.equity),
        trial=trial_key(config, agent, ""),
        key=run_key(config, prepared, entrant.name),
        agent=agent,
        seed=seed,
        data=prepared.data_sha256,
        split="test",
        start_ms=int(portfolio.timestamps[0]),
        end_ms=int(portfolio.timestamps[-1]),
        log_loss=None if stated is None else signal_metrics.log_loss(verdict.rows.action, stated),
    )
