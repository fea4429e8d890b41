"""What each source of the Arbiter says of a batch, and how one decision per row comes out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import GateSettings
from quantum_trader.envs.actions import Action

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """One source's probabilities; a row it cannot answer for holds NaN."""

    source: str
    """Name of the source, as in `Decision.source`."""
    probabilities: Floats32
    """float32 [B, 3] in the order of `Action`."""
    gate: GateSettings
    """When these probabilities become BUY or SELL."""
    failures: tuple[str, ...] = ()
    """[B], why a row without an answer has none, "" where that needs no mention; () where none needs it."""

    @property
    def answered(self) -> Mask:
        """bool [B]: rows with an answer."""
        return np.asarray(np.isfinite(self.probabilities).all(axis=1))

    def without(self, rows: Mask) -> Opinion:
        """The same opinion with no answer for `rows` (bool [B])."""
        return replace(self, probabilities=np.where(rows[:, None], np.float32(np.nan), self.probabilities))

    def part(self, rows: slice) -> Opinion:
        """The same opinion about `rows` alone."""
        return replace(self, probabilities=self.probabilities[rows], failures=self.failures[rows])

    def failure(self, row: int) -> str:
        """Why `row` has no answer, "" where that needs no mention."""
        return self.failures[row] if self.failures else ""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The outcome for `B` rows.

    Attributes:
        probabilities: float32 [B, 3] of the deciding source; certain HOLD where none answered.
        actions: int8 [B], values of `Action`.
        source, reason: [B].
    """

    probabilities: Floats32
    actions: NDArray[np.int8]
    source: tuple[str, ...]
    reason: tuple[str, ...]


def silent(count: int) -> Floats32:
    """float32 [count, 3] of a source that answers for no row."""
    return np.full((count, 3), np.nan, dtype=np.float32)


def settle(opinions: Sequence[Opinion], count: int) -> Settled:
    """Each row is decided by the first opinion that answers for it; where none does the decision is HOLD.

    Args:
        opinions: in order of preference, `count` rows each.
        count: B.
    """
    probabilities = np.tile(np.array([1.0, 0.0, 0.0], dtype=np.float32), (count, 1))
    actions = np.full(count, Action.HOLD, dtype=np.int8)
    source, reason = ["none"] * count, [""] * count
    waiting = np.ones(count, dtype=np.bool_)
    failures: list[list[str]] = [[] for _ in range(count)]
    for opinion in opinions:
        answered = opinion.answered
        decided = np.flatnonzero(waiting & answered)
        probabilities[decided] = opinion.probabilities[decided]
        for row, forecast in zip(decided.tolist(), probabilities[decided].tolist(), strict=True):
            source[row] = opinion.source
            actions[row], why = decide_row(forecast, opinion.gate)
            reason[row] = ": ".join(filter(None, ("; ".join(failures[row]), why)))
        waiting &= ~answered
        for row in np.flatnonzero(waiting).tolist():
            failures[row] += filter(None, [opinion.failure(row)])
    for row in np.flatnonzero(waiting).tolist():
        reason[row] = "; ".join(failures[row])
    return Settled(probabilities=probabilities, actions=actions, source=tuple(source), reason=tuple(reason))


def decide_row(probabilities: Iterable[float], gate: GateSettings) -> tuple[Action, str]:
    """The action that three probabilities, in the order of `Action`, lead to through a gate, and why."""
    hold, buy, sell = map(float, probabilities)
    if hold >= gate.hold_threshold:
        return Action.HOLD, f"quiet market expected (P(HOLD) {hold:.2f})"
    confidence = max(buy, sell) / max(buy + sell, 1e-12)
    if confidence < gate.confidence_threshold:
        return Action.HOLD, f"confidence {confidence:.3f} below {gate.confidence_threshold:.3f}"
    return (Action.BUY if buy >= sell else Action.SELL), f"confidence {confidence:.3f}"
