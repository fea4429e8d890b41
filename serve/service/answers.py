"""Decisions and journal rows as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantum_trader.agents.decision import Decision
from quantum_trader.envs.actions import Action
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.evaluate.records import finite, to_json
from quantum_trader.serve.journal.records import JournalRow


def decision_json(decision: Decision, *, journaled: bool, fault: str, explain: bool) -> dict[str, Any]:
    """The fields of `schemas.DecisionOut`.

    Args:
        decision: as the Arbiter gave it.
        journaled, fault: whether the journal keeps it, and why not.
        explain: with attention and importances.
    """
    found: dict[str, Any] = {
        "symbol": decision.symbol,
        "action": decision.action.name,
        "confidence": finite(decision.confidence) or 0.0,
        "hold_probability": _probability(decision.hold_probability),
        "probabilities": _by_action(decision.probabilities),
        "source": decision.source,
        "reason": decision.reason,
        "timestamp": decision.timestamp,
        "close": finite(decision.close),
        "atr": finite(decision.atr),
        "warnings": list(decision.warnings),
        "votes": [
            {
                "member": vote.member,
                "action": vote.action.name,
                "probabilities": _by_action(vote.probabilities),
            }
            for vote in decision.votes
        ],
        "quantiles": _quantiles(decision),
        "warming_up": decision.warming_up,
        "model_hash": decision.model_hash,
        "latency_ms": finite(decision.latency_ms) or 0.0,
        "journaled": journaled,
        "fault": fault,
    }
    if explain:
        found["attention"] = to_json(decision.attention)
        found["importances"] = (
            None
            if decision.importances is None
            else dict(zip(FEATURE_NAMES, to_json(decision.importances), strict=False))
        )
    return found


def row_json(row: JournalRow) -> dict[str, Any]:
    """A journal row: the entry's fields side by side, with `outcome` null until it is known."""
    entry: dict[str, Any] = to_json(row.entry)
    entry["importances"] = dict(zip(FEATURE_NAMES, entry["importances"], strict=False))
    return {"id": row.id, **entry, "outcome": to_json(row.outcome)}


def _quantiles(decision: Decision) -> list[dict[str, Any]] | None:
    if decision.quantiles is None:
        return None
    return [
        {"horizon_bars": horizon, "q10": finite(row[0]), "q50": finite(row[1]), "q90": finite(row[2])}
        for horizon, row in zip(decision.horizons, decision.quantiles, strict=False)
    ]


def _by_action(probabilities: Sequence[float]) -> dict[str, float]:
    return {action.name: _probability(value) for action, value in zip(Action, probabilities, strict=True)}


def _probability(value: float) -> float:
    """A probability that is no number stands for nothing: 0. The Arbiter answers none of these."""
    return finite(value) or 0.0
