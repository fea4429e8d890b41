"""What the Arbiter answers: one `Decision` per symbol, or `Decisions` for a batch of observations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS

_ACTIONS = tuple(Action)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One member's own opinion."""

    member: str
    """"tft", "ppo" or "xgboost"."""
    action: Action
    """The member's most probable class."""
    probabilities: tuple[float, float, float]
    """In the order of `Action`: HOLD, BUY, SELL."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """The Arbiter's answer for one symbol at the close of one bar.

    Equal decisions agree in every field, arrays included.
    """

    symbol: str
    action: Action
    """BUY, SELL or HOLD."""
    confidence: float
    """max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)), from 0.5 to 1; 0 where no model answered."""
    hold_probability: float
    """P(HOLD); 1 where no model answered."""
    source: str
    """Who decided: the pool, e.g. "tft+ppo+xgboost", else "tft", "xgboost" or "none"."""
    reason: str
    """Why, in words."""
    timestamp: int | None = None
    """Open of the bar decided on, milliseconds since the epoch, UTC."""
    probabilities: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Of the deciding source, in the order of `Action`: HOLD, BUY, SELL; certain HOLD where none answered."""
    close: float | None = None
    """Close of the bar decided on, quote currency."""
    atr: float | None = None
    """ATR14 at that close, in price units: what barriers are multiples of; None in warm-up."""
    warnings: tuple[str, ...] = ()
    """What a bot should know besides the reason: drift of the inputs, a member that is left out."""
    votes: tuple[Vote, ...] = ()
    """The members' opinions."""
    quantiles: NDArray[np.float32] | None = None
    """float32 [H, 3]: Q10, Q50, Q90 of the forward log return at `horizons`; None without the TFT."""
    horizons: tuple[int, ...] = HORIZONS
    """Bars ahead of the rows of `quantiles`."""
    attention: NDArray[np.float32] | None = None
    """float32 [60], oldest bar first; None without the TFT."""
    importances: NDArray[np.float32] | None = None
    """float32 [14] in the order of `FEATURE_NAMES`; None where the deciding model has none."""
    warming_up: bool = False
    """True while slow indicators stand at their neutral value."""
    model_hash: str = ""
    """Hash of the model folders behind the answer."""
    latency_ms: float = 0.0
    """Milliseconds from the call to the answer, for the whole batch."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decision):
            return NotImplemented
        return all(_same(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    def __hash__(self) -> int:
        return hash((self.symbol, self.timestamp, self.action))


def _same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return np.array_equal(left, right, equal_nan=True)
    return bool(left == right) if type(left) is type(right) else False


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The Arbiter's answers for `B` observations, as arrays."""

    actions: NDArray[np.int8]
    """int8 [B], values of `Action`, after the gate."""
    signals: Signals
    """The deciding source's probabilities and explanations, before the gate."""
    source: tuple[str, ...]
    """[B], as in `Decision.source`."""
    reason: tuple[str, ...]
    """[B], as in `Decision.reason`."""
    votes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """float32 [B, 3] by member."""

    def __len__(self) -> int:
        return len(self.actions)

    def vote(self, row: int) -> tuple[Vote, ...]:
        """The members' opinions on row `row`; a member that failed there is left out."""
        opinions = []
        for member, table in self.votes.items():
            hold, buy, sell = values = table[row].tolist()
            if math.isfinite(hold + buy + sell):
                action = _ACTIONS[values.index(max(values))]
                opinions.append(Vote(member=member, action=action, probabilities=(hold, buy, sell)))
        return tuple(opinions)
