"""The same decisions at dearer or slower trading: an edge that one more basis point kills is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import intervals, trading_metrics as metrics
from quantum_trader.evaluate.backtest import Actions, trade_all
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import Folds
from quantum_trader.evaluate.records import SensitivityRow

COSTS = (1.0, 2.0, 3.0)
"""Factors on fees and slippage."""
DELAYS = (0, 1, 2)
"""Bars that orders come late."""


def sensitivity(
    entrant: Entrant,
    folds: Folds,
    actions: Sequence[Actions],
    yearly_bars: float,
    config: BootstrapConfig,
) -> tuple[SensitivityRow, ...]:
    """Costs x 1, 2, 3 without delay, and delays of 1 and 2 bars at the usual costs.

    The decisions are those the agent made under the usual conditions: one that looks at its account might
    decide otherwise under others.

    Returns:
        Nothing for an agent that never acts.
    """
    if not any((mine != Action.HOLD).any() for mine in actions):
        return ()
    conditions = [(factor, 0) for factor in COSTS] + [(1.0, bars) for bars in DELAYS[1:]]
    rows = []
    for factor, delay in conditions:
        places = folds.changed(cost_multiplier=factor, delay_bars=delay)
        portfolio = trade_all(entrant.name, places, actions, entrant.kind)
        net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
        bars = metrics.returns(portfolio.equity)
        rows.append(
            SensitivityRow(
                cost_multiplier=factor,
                delay_bars=delay,
                total_return=intervals.portfolio_return(portfolio, config),
                sharpe=metrics.annualised_ratio(metrics.sharpe(bars), yearly_bars),
                trades=len(net),
                win_rate=metrics.win_rate(net),
                break_even_win_rate=metrics.break_even_win_rate(net),
            )
        )
    return tuple(rows)
