"""A decision as the journal keeps it, with what XGBoost alone would have decided beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.decision import Decision
from quantum_trader.agents.opinion import decide_row
from quantum_trader.agents.pool import log_opinion_pool
from quantum_trader.agents.signals import directional_confidence
from quantum_trader.serve.journal.records import Entry, Shadow

SHADOW = "xgboost"
"""The member that is asked for a vote even where the decision does not need it."""

_KNOWN_BAR = ("duplicate bar", "out-of-order bar")
_NOT_TAKEN_IN = (*_KNOWN_BAR, "bad bar", "bar still open", "bar from the future", "too many symbols")


def refused(decision: Decision) -> bool:
    """Whether the Arbiter did not take the bar into its history."""
    return decision.source == "none" and decision.reason.startswith(_NOT_TAKEN_IN)


def is_closed_bar(decision: Decision) -> bool:
    """Whether the bar is a sound, closed one, even if the Arbiter has no use for it any more."""
    return not refused(decision) or decision.reason.startswith(_KNOWN_BAR)


def shadows(decisions: Sequence[Decision], gate: GateSettings) -> dict[str, Shadow]:
    """What XGBoost alone would have decided, by symbol, through its own bias and gate.

    Where it has decided, that is the decision itself. Symbols without its vote are left out.
    """
    own = {each.symbol: _itself(each) for each in decisions if each.source == SHADOW}
    votes = {
        decision.symbol: vote.probabilities
        for decision in decisions
        for vote in decision.votes
        if vote.member == SHADOW and decision.symbol not in own
    }
    if not votes:
        return own
    table = log_opinion_pool((np.array(list(votes.values()), dtype=np.float32),), (1.0,), gate.bias)
    confidences = directional_confidence(table)
    return own | {
        symbol: Shadow(
            action=decide_row(row, gate)[0],
            confidence=float(confidence),
            probabilities=(float(row[0]), float(row[1]), float(row[2])),
        )
        for symbol, row, confidence in zip(votes, table, confidences, strict=True)
    }


def _itself(decision: Decision) -> Shadow:
    return Shadow(
        action=decision.action, confidence=decision.confidence, probabilities=decision.probabilities
    )


def entry_of(
    decision: Decision, *, bar_ms: int, decided_ms: int, settings: ArbiterSettings, shadow: Shadow | None
) -> Entry:
    """The journal's record of a decision.

    Args:
        decision: the Arbiter's answer.
        bar_ms: open of the bar that was offered.
        decided_ms: when it was decided.
        settings: of the Arbiter that decided: they say what the outcome is about.
        shadow: of the same bar.
    """
    not_taken_in = refused(decision)
    return Entry(
        symbol=decision.symbol,
        bar_ms=bar_ms,
        decided_ms=decided_ms,
        action=decision.action,
        confidence=decision.confidence,
        probabilities=decision.probabilities,
        source=decision.source,
        reason=decision.reason,
        model_hash=decision.model_hash,
        latency_ms=decision.latency_ms,
        close=None if not_taken_in else decision.close,  # a refused bar's decision names the bar before it
        atr=None if not_taken_in else decision.atr,
        warming_up=decision.warming_up,
        warnings=decision.warnings,
        shadow=shadow,
        votes=decision.votes,
        quantiles=_rows(decision.quantiles),
        attention=_numbers(decision.attention),
        importances=_numbers(decision.importances),
        refused=not_taken_in,
        horizon_bars=settings.horizon_bars,
        barrier_atr=settings.barrier_atr,
    )


def _numbers(values: np.ndarray | None) -> tuple[float, ...]:
    return () if values is None else tuple(values.tolist())


def _rows(table: np.ndarray | None) -> tuple[tuple[float, float, float], ...]:
    return () if table is None else tuple((low, middle, high) for low, middle, high in table.tolist())
