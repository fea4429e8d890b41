"""Judges the agents of a run on test rows: who enters, by which gate, with which baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import GateSettings
from quantum_trader.agents.baselines import AlwaysHold, EmaCross, Momentum, PriorClass
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import Agent, ModelInputs, Signals
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.position_agents import EmbeddingPolicy
from quantum_trader.evaluate.run_train import FittedAgents
from quantum_trader.train.dataset import PooledDataset

if TYPE_CHECKING:
    from quantum_trader.agents.policy_agent import PolicyAgent

Floats32 = NDArray[np.float32]

_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One agent's answers to every test row.

    Attributes:
        probabilities: float32 [N, 3].
        quantiles: float32 [N, H, 3], or None.
    """

    probabilities: Floats32
    quantiles: Floats32 | None


def entrants(
    agents: FittedAgents, test: PooledDataset, prior: NDArray[np.float64], scaler: FeatureScaler
) -> list[Entrant]:
    """The run's agents and the baselines, ready for `judge`; the Arbiter comes first.

    A single agent says HOLD from its own hold threshold on and passes every direction; the Arbiter decides
    by its fitted gate.
    """
    found, tft_answers = [], None
    if agents.arbiter is not None:
        entrant, tft_answers = arbiter_entrant(agents.arbiter, test)
        found.append(entrant)
    if agents.tft is not None:
        tft_answers = tft_answers if tft_answers is not None else answers(agents.tft, test)
        found.append(signal_entrant(agents.tft, tft_answers))
    if agents.bilstm is not None:
        found.append(signal_entrant(agents.bilstm, answers(agents.bilstm, test)))
    found += policy_entrants(agents.policies, test)
    learners = (agents.ensemble, agents.xgboost, agents.logistic)
    tabular = [learner for learner in learners if learner is not None]
    found += [signal_entrant(learner, answers(learner, test)) for learner in tabular]
    return [*found, *baselines(test, prior, scaler)]


def arbiter_entrant(arbiter: Arbiter, test: PooledDataset) -> tuple[Entrant, Answers | None]:
    """The Arbiter by its own gate, and what its TFT said on the way, if it has one that answered."""
    decided = [arbiter.decide_inputs(inputs) for inputs in _batches(test)]
    quantiles = _joined([part.signals.quantiles for part in decided])
    entrant = Entrant(
        name=arbiter.name,
        probabilities=np.concatenate([part.signals.probabilities for part in decided]),
        actions=np.concatenate([part.actions for part in decided]),
        gate=_gate(arbiter.usual_gate),
        quantiles=quantiles,
    )
    votes = _joined([part.votes.get("tft") for part in decided])
    return entrant, None if votes is None else Answers(probabilities=votes, quantiles=quantiles)


def answers(agent: Agent, rows: PooledDataset) -> Answers:
    """Ask an agent about every row, batch by batch."""
    parts: list[Signals] = [agent.signals(inputs) for inputs in _batches(rows)]
    return Answers(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        quantiles=_joined([part.quantiles for part in parts]),
    )


def signal_entrant(agent: LiveAgent, found: Answers) -> Entrant:
    """A single agent: HOLD from its own hold threshold on, every direction passes."""
    return Entrant(
        name=agent.name,
        probabilities=found.probabilities,
        quantiles=found.quantiles,
        gate=Gate(threshold=0.5, hold_threshold=agent.hold_threshold),
    )


def policy_entrants(policies: Sequence[PolicyAgent], test: PooledDataset) -> list[Entrant]:
    """Each policy on tables of its encoder, made once for all policies that read the same."""
    made: dict[tuple[str, str], list[Floats32]] = {}
    found = []
    for policy in policies:
        reads = (policy.tft.model_hash, policy.features)
        if reads not in made:
            made[reads] = _tables(policy, test)
        entrant = Entrant(name=policy.name, kind="position", policy=EmbeddingPolicy(made[reads], policy.act))
        found.append(entrant)
    return found


def _tables(policy: PolicyAgent, test: PooledDataset) -> list[Floats32]:
    """What the policy is told from each market's first test row on."""
    from quantum_trader.agents.policy_state import state_size
    from quantum_trader.train.rl.table import encode_market

    tables = []
    for index, market in enumerate(test.markets):
        ends = test.end[test.market == index]
        empty = np.zeros((len(market), state_size(policy.tft.model, policy.features)), dtype=np.float32)
        if len(ends):
            encode_market(policy.tft, market, policy.features, start=int(ends.min()), out=empty)
        tables.append(empty)
    return tables


def baselines(test: PooledDataset, prior: NDArray[np.float64], scaler: FeatureScaler) -> list[Entrant]:
    """Rules to be beaten; those that are certain of everything enter with actions, since certainty has no
    meaningful log-loss."""
    shares = PriorClass(shares=(float(prior[0]), float(prior[1]), float(prior[2])))
    momentum, cross, hold = Momentum(bars=1, scaler=scaler), EmaCross(scaler=scaler), AlwaysHold()

    def acting(rule: Agent) -> NDArray[np.int8]:
        return np.asarray(answers(rule, test).probabilities.argmax(axis=1), dtype=np.int8)

    return [
        Entrant(name=shares.name, role="baseline", probabilities=answers(shares, test).probabilities),
        Entrant(name=momentum.name, role="baseline", actions=acting(momentum)),
        Entrant(name=cross.name, role="baseline", kind="position", actions=acting(cross)),
        Entrant(name=hold.name, role="baseline", kind="position", actions=acting(hold)),
    ]


def _gate(settings: GateSettings) -> Gate:
    return Gate(threshold=settings.confidence_threshold, hold_threshold=settings.hold_threshold)


def _batches(rows: PooledDataset) -> list[ModelInputs]:
    starts = range(0, len(rows), _BATCH)
    return [rows.inputs(np.arange(first, min(first + _BATCH, len(rows)))) for first in starts]


def _joined(parts: list[Floats32 | None]) -> Floats32 | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
