"""Gates on confidence: which rows they answer, and what answering only those would have earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import signal_metrics, trading_metrics
from quantum_trader.evaluate.backtest import Actions, trade_all
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.folds import Folds
from quantum_trader.evaluate.intervals import portfolio_win_rate
from quantum_trader.evaluate.records import ConfidenceMeasure, ConfidenceRow

Floats32 = NDArray[np.float32]

FIXED_THRESHOLD = 0.65
"""What one often reads: act where a class reaches 0.65; the table says what that would have done."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When probabilities become BUY or SELL."""

    measure: ConfidenceMeasure = "directional"
    """What has to reach the threshold."""
    threshold: float = 0.5
    """Smallest confidence that trades; raising it answers fewer rows."""
    hold_threshold: float = 1.0
    """P(HOLD) from which on the answer is HOLD; 1 ignores it."""
    share: float | None = None
    """Share of the judged rows that `threshold` was set to let through; None where it was given."""

    def decide(self, probabilities: Floats32) -> Actions:
        """int8 [N]: the direction of float32 [N, 3] where the gate is open, HOLD elsewhere."""
        if self.measure == "directional":
            confidence = signal_metrics.directional_confidence(probabilities)
        else:
            confidence = probabilities[:, [Action.BUY, Action.SELL]].max(axis=1).astype(np.float64)
        opened = (confidence >= self.threshold) & (probabilities[:, Action.HOLD] < self.hold_threshold)
        return np.where(opened, signal_metrics.direction(probabilities), Action.HOLD).astype(np.int8)


def most_confident(probabilities: Floats32, share: float) -> Gate:
    """The gate that lets the most confident `share` of float32 [N, 3] through, whatever P(HOLD) is.

    It looks at all rows first: it says what the confident tail was worth, and nobody could have traded it.
    """
    confidence = signal_metrics.directional_confidence(probabilities)
    wanted = max(1, round(share * len(confidence)))
    threshold = np.partition(confidence, len(confidence) - wanted)[len(confidence) - wanted]
    return Gate(threshold=float(threshold), share=share)


def confidence_table(
    probabilities: Floats32,
    folds: Folds,
    *,
    gates: Sequence[Gate],
    chosen: Gate | None,
    bootstrap: BootstrapConfig,
) -> tuple[ConfidenceRow, ...]:
    """Trade an agent's probabilities through several gates.

    Args:
        probabilities: float32 [N, 3], one row a row of `folds`.
        folds: where to trade, N rows.
        gates: what to try.
        chosen: the gate that was chosen on validation, marked in the table; None where none was.
        bootstrap: how the intervals are drawn.
    """
    wanted = list(gates) if chosen is None or chosen in gates else [*gates, chosen]
    wanted.sort(key=lambda gate: (gate.measure != "directional", gate.threshold))
    rows = []
    for gate in wanted:
        actions = gate.decide(probabilities)
        portfolio = trade_all("gate", folds.places, folds.spread(actions), "signal")
        net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
        rows.append(
            ConfidenceRow(
                measure=gate.measure,
                threshold=gate.threshold,
                hold_threshold=gate.hold_threshold,
                chosen=gate == chosen,
                share=gate.share,
                coverage=float(np.mean(actions != Action.HOLD)),
                trades=len(net),
                win_rate=portfolio_win_rate(portfolio, bootstrap),
                break_even_win_rate=trading_metrics.break_even_win_rate(net),
                total_return=trading_metrics.total_return(portfolio.equity),
            )
        )
    return tuple(rows)
