"""`LiveAgent`: one-symbol and many-symbol prediction from a stream of bars, for any agent with `signals`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.history import BarLike, LiveHistories
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.scaler import FeatureScaler


@dataclass(frozen=True, kw_only=True)
class SignalMeta:
    """What stands behind a signal; arrays are None where the agent does not know them."""

    reason: str
    """Why the action is what it is."""
    timestamp: int | None = None
    """Open of the bar decided on, milliseconds since the epoch, UTC."""
    probabilities: NDArray[np.float32] | None = None
    """float32 [3] in the order of `Action`."""
    hold_probability: float | None = None
    """P(HOLD)."""
    quantiles: NDArray[np.float32] | None = None
    """float32 [H, 3]: Q10, Q50, Q90 of the forward log return at `horizons`."""
    horizons: tuple[int, ...] = HORIZONS
    """Bars ahead of the rows of `quantiles`."""
    attention: NDArray[np.float32] | None = None
    """float32 [60], oldest bar first, sums to 1."""
    importances: NDArray[np.float32] | None = None
    """float32 [14] in the order of `FEATURE_NAMES`, sums to 1."""
    bars_in_window: int = 0
    """Bars of history in the window, at most 60."""
    warming_up: bool = False
    """True while slow indicators have not had their full warm-up: feed more history for full quality."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One agent's answer for one symbol at the close of one bar."""

    symbol: str
    action: Action
    """BUY, SELL or HOLD."""
    confidence: float
    """max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)), from 0.5 to 1; 0 where no model was asked."""
    meta: SignalMeta


class LiveAgent:
    """Mixin that adds a per-symbol history to an agent.

    A class that mixes this in has `signals(inputs)`, `scaler` and `calibration`.
    """

    name: str
    scaler: FeatureScaler
    calibration: Calibration | None

    @property
    def hold_threshold(self) -> float:
        """P(HOLD) from which on the signal is HOLD; fitted on validation rows."""
        return (self.calibration or Calibration()).hold_threshold

    def signals(self, inputs: ModelInputs) -> Signals:
        """Signals of a batch; the agent's own."""
        raise NotImplementedError

    @property
    def histories(self) -> LiveHistories:
        """The live histories, created on first use."""
        if not hasattr(self, "_histories"):
            self.start_live()
        return self._histories

    def start_live(
        self, *, contracts: Mapping[str, FuturesContract] | None = None, step_ms: int = 3_600_000
    ) -> None:
        """Forget all history; later bars are of the given contracts (guessed by name) and bar length."""
        self._histories = LiveHistories(contracts=contracts, step_ms=step_ms)

    def add_to_history(self, symbol: str, bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars) -> int:
        """Append bars without asking for a signal; see `LiveHistories.extend`."""
        return self.histories.extend(symbol, bars)

    def predict(self, symbol: str, bar: BarLike) -> Signal:
        """Append one closed bar of `symbol` and answer; HOLD while there are fewer than 60 bars.

        Raises:
            DataError: the bar is incomplete or contradicts itself.
        """
        return self.batch_predict({symbol: bar})[symbol]

    def batch_predict(self, bars: Mapping[str, BarLike]) -> dict[str, Signal]:
        """Append one closed bar per symbol and answer all in one pass through the model."""
        taken = self.histories.take(bars)
        answers = {name: self._waiting(name, reason) for name, reason in taken.held_up.items()}
        if taken.ready:
            signals = self.signals(self.histories.inputs(taken.ready, self.scaler))
            answers |= {name: self._answer(name, signals, row) for row, name in enumerate(taken.ready)}
        return {name: answers[name] for name in bars}

    def _waiting(self, symbol: str, reason: str) -> Signal:
        history = self.histories[symbol]
        meta = SignalMeta(
            reason=reason,
            timestamp=history.last_timestamp,
            bars_in_window=history.length,
            warming_up=True,
        )
        return Signal(symbol=symbol, action=Action.HOLD, confidence=0.0, meta=meta)

    def _answer(self, symbol: str, signals: Signals, row: int) -> Signal:
        history = self.histories[symbol]
        probabilities = signals.probabilities[row]
        hold = float(probabilities[Action.HOLD])
        action, reason = self._choose(signals, row)
        meta = SignalMeta(
            reason=reason,
            timestamp=history.last_timestamp,
            probabilities=probabilities,
            hold_probability=hold,
            quantiles=None if signals.quantiles is None else signals.quantiles[row],
            attention=None if signals.attention is None else signals.attention[row],
            importances=None if signals.importances is None else signals.importances[row],
            bars_in_window=history.length,
            warming_up=history.warming_up,
        )
        confidence = float(signals.directional_confidence[row])
        return Signal(symbol=symbol, action=action, confidence=confidence, meta=meta)

    def _choose(self, signals: Signals, row: int) -> tuple[Action, str]:
        probabilities = signals.probabilities[row]
        if not np.isfinite(probabilities).all():
            return Action.HOLD, "the model's output is not a number"
        if probabilities[Action.HOLD] >= self.hold_threshold:
            return Action.HOLD, "quiet market expected"
        return Action(int(signals.direction[row])), "direction expected"
