"""Somebody else's agent on one fold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.position_agents import AgentPolicy
from quantum_trader.evaluate.run_judge import answers
from quantum_trader.evaluate.suite.contestant import (
    CheckedAgent,
    ContestantError,
    contestant_kind,
    fit_contestant,
)
from quantum_trader.evaluate.suite.registry import find_contestant
from quantum_trader.evaluate.sweep.ours import Ask
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared

_ALONE = 32
"""Rows that are asked again by themselves."""
_TOLERANCE = 1e-3


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
        stated = answers(agent, rows).probabilities
        _refuse_looking_around(agent, rows, stated)
        return Entrant(name=spec, probabilities=stated)

    return ask


def _refuse_looking_around(agent: CheckedAgent, rows: PooledDataset, stated: NDArray[np.float32]) -> None:
    """Ask some rows again, alone: an answer that changes came from its neighbours, later ones among them.

    Raises:
        ContestantError: it did.
    """
    for row in np.linspace(0, len(rows) - 1, min(_ALONE, len(rows))).astype(np.int64):
        alone = agent.signals(rows.inputs(np.array([row]))).probabilities[0]
        if np.abs(alone - stated[row]).max() > _TOLERANCE:
            raise ContestantError(
                f"signals: expected each row to be answered by itself, found {stated[row].round(3).tolist()} "
                f"in a batch and {alone.round(3).tolist()} alone: nothing may be taken from the other rows."
            )
