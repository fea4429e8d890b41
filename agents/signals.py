"""What agents receive (`ModelInputs`) and what they answer (`Signals`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action

Floats32 = NDArray[np.float32]


def direction(probabilities: NDArray[Any]) -> NDArray[np.int8]:
    """int8 [N]: the likelier of BUY and SELL in float [N, 3] (BUY on a tie), whatever HOLD's share."""
    buys = probabilities[:, Action.BUY] >= probabilities[:, Action.SELL]
    return np.where(buys, Action.BUY, Action.SELL).astype(np.int8)


def directional_confidence(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [N] in [0.5, 1]: max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)); 0.5 where both are 0."""
    buy = probabilities[:, Action.BUY].astype(np.float64)
    sell = probabilities[:, Action.SELL].astype(np.float64)
    total = buy + sell
    confidence: NDArray[np.float64] = np.divide(
        np.maximum(buy, sell), total, out=np.full(len(total), 0.5), where=total > 0
    )
    return confidence


@dataclass(frozen=True, kw_only=True)
class ModelInputs:
    """A batch of observations taken at the close of `B` bars.

    Attributes:
        windows: float32 [B, 60, 14], scaled features, oldest bar first.
        context: float32 [B, CONTEXT_SIZE] (see `quantum_trader.envs.context`).
        account: float32 [B, k] account numbers of the environment, or None where no position is known.
    """

    windows: Floats32
    context: Floats32
    account: Floats32 | None = None

    def __len__(self) -> int:
        return len(self.windows)


@dataclass(frozen=True, kw_only=True)
class Signals:
    """BUY/SELL/HOLD probabilities of `B` observations, with what explains them where the agent knows it.

    Attributes:
        probabilities: float32 [B, 3], columns in the order of `Action` (HOLD, BUY, SELL), rows sum to 1.
        quantiles: float32 [B, H, 3], Q10, Q50, Q90 of the forward log return at `HORIZONS`, or None.
        attention: float32 [B, 60], weight of each bar of the window, rows sum to 1, or None.
        importances: float32 [B, 14], weight of each feature, rows sum to 1, or None.
    """

    probabilities: Floats32
    quantiles: Floats32 | None = None
    attention: Floats32 | None = None
    importances: Floats32 | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def part(self, rows: slice) -> Signals:
        """The signals of `rows` alone."""

        def cut(values: Floats32 | None) -> Floats32 | None:
            return None if values is None else values[rows]

        return Signals(
            probabilities=self.probabilities[rows],
            quantiles=cut(self.quantiles),
            attention=cut(self.attention),
            importances=cut(self.importances),
        )

    @property
    def actions(self) -> NDArray[np.int8]:
        """int8 [B]: the most probable action of each row."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int8)

    @property
    def direction(self) -> NDArray[np.int8]:
        """int8 [B]: the likelier of BUY and SELL, whatever HOLD's share."""
        return direction(self.probabilities)

    @property
    def directional_confidence(self) -> Floats32:
        """float32 [B] in [0.5, 1]: max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)); 0.5 where both are 0."""
        return directional_confidence(self.probabilities).astype(np.float32)


class Agent(Protocol):
    """Anything that turns observations into signals; batches of any size, no state between calls."""

    @property
    def name(self) -> str:
        """Short identifier used in reports and file names."""
        ...

    def signals(self, inputs: ModelInputs) -> Signals:
        """Signals for each row of `inputs`."""
        ...
