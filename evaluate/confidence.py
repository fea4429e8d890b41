"""Gates on confidence: which rows they answer, and what answering only those would have earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import signal_metrics, trading_metrics
from quantum_trader.evaluate.backtest import Actions, BacktestConfig, Ground, spread, trade_all
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.intervals import portfolio_win_rate
from quantum_trader.evaluate.records import ConfidenceMeasure, ConfidenceRow
from quantum_trader.train.dataset import PooledDataset

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

    def decide(self, probabilities: Floats32) -> Actions:
        """int8 [N]: the direction of float32 [N, 3] where the gate is open, HOLD elsewhere."""
        if self.measure == "directional":
            confidence = signal_metrics.directional_confidence(probabilities)
        else:
            confidence = probabilities[:, [Action.BUY, Action.SELL]].max(axis=1).astype(np.float64)
        opened = (confidence >= self.threshold) & (probabilities[:, Action.HOLD] < self.hold_threshold)
        return np.where(opened, signal_metrics.direction(probabilities), Action.HOLD).astype(np.int8)


def confidence_table(
    probabilities: Floats32,
    test: PooledDataset,
    places: Sequence[Ground],
    *,
    gates: Sequence[Gate],
    chosen: Gate | None,
    backtest: BacktestConfig,
    bootstrap: BootstrapConfig,
) -> tuple[ConfidenceRow, ...]:
    """Trade an agent's probabilities through several gates.

    Args:
        probabilities: float32 [N, 3], one row a row of `test`.
        test: N rows.
        places: the grounds of `test`.
        gates: what to try.
        chosen: the gate that was chosen on validation, marked in the table; None where none was.
        backtest: how signals are traded.
        bootstrap: how the intervals are drawn.
    """
    wanted = list(gates) if chosen is None or chosen in gates else [*gates, chosen]
    wanted.sort(key=lambda gate: (gate.measure != "directional", gate.threshold))
    rows = []
    for gate in wanted:
        actions = gate.decide(probabilities)
        environment = backtest.environment("signal")
        portfolio = trade_all("gate", places, spread(test, actions, places), environment)
        net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
        rows.append(
            ConfidenceRow(
                measure=gate.measure,
                threshold=gate.threshold,
                hold_threshold=gate.hold_threshold,
                chosen=gate == chosen,
                coverage=float(np.mean(actions != Action.HOLD)),
                trades=len(net),
                win_rate=portfolio_win_rate(portfolio, bootstrap),
                break_even_win_rate=trading_metrics.break_even_win_rate(net),
                total_return=trading_metrics.total_return(portfolio.equity),
            )
        )
    return tuple(rows)
