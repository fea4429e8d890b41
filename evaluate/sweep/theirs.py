"""Somebody else's agent on one fold."""

from __future__ import annotations

from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.position_agents import AgentPolicy
from quantum_trader.evaluate.run_judge import answers
from quantum_trader.evaluate.suite.contestant import CheckedAgent, contestant_kind, fit_contestant
from quantum_trader.evaluate.suite.registry import find_contestant
from quantum_trader.evaluate.sweep.ours import Ask
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared


def fit_theirs(spec: str, prepared: Prepared, seed: int) -> Ask:
    """Find, make and fit a contestant.

    Args:
        spec: see `quantum_trader.evaluate.suite.registry.find_contestant`.
        prepared: the fold.
        seed: of the job.

    Returns:
        What asks it about rows.

    Raises:
        ContestantError: it is not found, cannot take part, or answers something that is no probability.
    """
    contestant = fit_contestant(find_contestant(spec), prepared, seed)
    agent = CheckedAgent(contestant)

    def ask(rows: PooledDataset) -> Entrant:
        if contestant_kind(contestant) == "position":
            return Entrant(name=spec, kind="position", policy=AgentPolicy(agent, rows.markets))
        return Entrant(name=spec, probabilities=answers(agent, rows).probabilities)

    return ask
