"""`Entrant`: one agent's answers, ready to be judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.policy_pass import Policy
from quantum_trader.evaluate.backtest import Actions
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.records import Kind, Role

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Entrant:
    """One agent as it is judged; arrays have one row a row of the judged folds.

    A signal agent gives `actions`, or `probabilities` of which the most probable action is then taken. A
    position agent gives a `policy`, `actions` where these do not depend on its account, or `decisions` where
    it has been stepped over the grounds already.

    Attributes:
        name: identifier in tables and figures.
        role: a baseline is there to be beaten.
        kind: "signal" leaves by the label's barriers and horizon, "position" whenever it decides to.
        probabilities: float32 [N, 3], or None.
        actions: int8 [N], `Action` values after any gate, or None.
        policy: decides with the account in view, or None; for one fold only.
        decisions: int8 [bars of the ground] for every ground, what it decided there, or None.
        gate: the gate chosen on validation, to be marked in the confidence table; None where there is none.
        quantiles: float32 [N, H, 3], Q10, Q50, Q90 of the forward return at `HORIZONS`, or None.
    """

    name: str
    role: Role = "learner"
    kind: Kind = "signal"
    probabilities: Floats32 | None = None
    actions: Actions | None = None
    policy: Policy | None = None
    decisions: tuple[Actions, ...] | None = None
    gate: Gate | None = None
    quantiles: Floats32 | None = None

    @property
    def has_decisions(self) -> bool:
        """Whether there is anything to trade."""
        given = (self.actions, self.probabilities, self.policy, self.decisions)
        return any(item is not None for item in given)

    @property
    def row_actions(self) -> Actions:
        """int8 [N]: what it does at each row: its actions, else its probabilities through its gate."""
        if self.actions is not None:
            return self.actions
        assert self.probabilities is not None  # whoever has neither is asked for decisions instead
        if self.gate is not None:
            return self.gate.decide(self.probabilities)
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int8)
