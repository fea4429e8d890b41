"""One agent fold by fold: a result that one fold made is not a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.backtest import Actions, trade_all
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import Folds
from quantum_trader.evaluate.records import FoldFigures
from quantum_trader.evaluate.signal_quality import cells


def fold_figures(
    entrant: Entrant, folds: Folds, actions: Sequence[Actions], yearly_bars: float
) -> tuple[FoldFigures, ...]:
    """The agent on every fold by itself, each begun with a fresh account.

    Args:
        entrant: the agent.
        folds: the folds.
        actions: int8 [bars of the ground] for every ground, what it decided.
        yearly_bars: bars in a year.
    """
    stated = None if entrant.probabilities is None else folds.split(entrant.probabilities)
    found = []
    for number, fold in enumerate(folds.folds):
        here = [n for n, place in enumerate(folds.places) if place.fold == number]
        portfolio = trade_all(
            entrant.name,
            [folds.places[n] for n in here],
            [actions[n] for n in here],
            entrant.kind,
        )
        net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
        labels = fold.rows.action
        own = None if stated is None else stated[number]
        moved = labels != Action.HOLD
        found.append(
            FoldFigures(
                fold=number,
                start_ms=int(portfolio.timestamps[0]),
                end_ms=int(portfolio.timestamps[-1]),
                total_return=metrics.total_return(portfolio.equity),
                sharpe=metrics.annualised_ratio(
                    metrics.sharpe(metrics.returns(portfolio.equity)), yearly_bars
                ),
                max_drawdown=metrics.max_drawdown(portfolio.equity),
                trades=len(net),
                win_rate=metrics.win_rate(net),
                log_loss=None if own is None else signal_metrics.log_loss(labels, own),
                log_loss_skill=None
                if own is None
                else signal_metrics.log_loss_skill(labels, own, fold.prior),
                direction_accuracy=None
                if own is None
                else signal_metrics.accuracy(labels[moved], signal_metrics.direction(own[moved])),
                confusion=None
                if own is None
                else cells(signal_metrics.confusion_matrix(labels, own.argmax(axis=1))),
            )
        )
    return tuple(found)
