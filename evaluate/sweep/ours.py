"""Our own agents on one fold: fitted or loaded by name, then asked about the test rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.run_judge import answers, arbiter_entrant, policy_entrants, signal_entrant
from quantum_trader.evaluate.run_train import Fitting
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.rl.config import ALGORITHMS

if TYPE_CHECKING:
    from quantum_trader.agents.live import LiveAgent

Ask = Callable[[PooledDataset], Entrant]


def fit_ours(agent: str, fitting: Fitting) -> Ask:
    """Fit an agent, or load what an earlier job left in the fold's folder.

    Args:
        agent: one of `quantum_trader.evaluate.sweep.agents.NEEDS`.
        fitting: of the fold; what the agent builds on is taken from its folder.

    Returns:
        What asks it about rows.
    """
    if agent == "arbiter":
        arbiter = fitting.arbiter(fitting.tft(), fitting.policy(fitting.tft(), "ppo"), fitting.xgboost())
        return lambda rows: arbiter_entrant(arbiter, rows)[0]
    if agent in ALGORITHMS:
        policy = fitting.policy(fitting.tft(), agent)
        return lambda rows: policy_entrants([policy], rows)[0]
    fits: dict[str, Callable[[], LiveAgent]] = {
        "xgboost": fitting.xgboost,
        "logistic": fitting.logistic,
        "ensemble": fitting.ensemble,
        "tft": fitting.tft,
        "bilstm": fitting.bilstm,
    }
    found = fits[agent]()
    return lambda rows: signal_entrant(found, answers(found, rows))
