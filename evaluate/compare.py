"""The agents against each other: paired tests, superior predictive ability, backtest overfitting."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate import intervals, signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.backtest import Portfolio
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval, paired_difference
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import JudgedRows
from quantum_trader.evaluate.records import Comparison, PairedTest
from quantum_trader.evaluate.run_config import SEED_MARK
from quantum_trader.evaluate.statistics.comparison import diebold_mariano, holm, superior_predictive_ability
from quantum_trader.evaluate.statistics.overfitting import backtest_overfitting

Floats = NDArray[np.float64]

_NAN = float("nan")


def compare(
    entrants: Sequence[Entrant],
    portfolios: Sequence[Portfolio],
    rows: JudgedRows,
    benchmark: str,
    *,
    yearly_bars: float,
    label_bars: int,
    config: BootstrapConfig,
) -> Comparison | None:
    """Compare agents that answered the same rows and traded the same bars.

    Further seeds of an agent are left out of the pairs, and in for the tests of the whole field.

    Args:
        entrants: the agents.
        portfolios: theirs, in the same order.
        rows: the labelled rows.
        benchmark: name of the entrant that superior predictive ability is tested against.
        yearly_bars: bars in a year.
        label_bars: bars that a label looks ahead, the lags of the HAC errors.
        config: how intervals are drawn.

    Returns:
        None where there are fewer than two agents.
    """
    if len(entrants) < 2:
        return None
    field = list(zip(entrants, portfolios, strict=True))
    learners = [item for item in field if item[0].role == "learner"]
    reference = next(portfolio for entrant, portfolio in field if entrant.name == benchmark)
    returns = [metrics.log_returns(portfolio.equity) for _, portfolio in learners]
    overfitting = backtest_overfitting(np.stack(returns, axis=1)) if len(returns) > 1 else None
    losses = {
        entrant.name: _losses(rows, entrant.probabilities)
        for entrant in entrants
        if entrant.probabilities is not None
    }
    first = [item for item in learners if SEED_MARK not in item[0].name]
    rivals = [item for item in field if item[0].role == "baseline"]
    pairs = [*combinations(first, 2), *((mine, other) for mine in first for other in rivals)]
    p_values = [
        _p_value(losses.get(left.name), losses.get(right.name), label_bars) for (left, _), (right, _) in pairs
    ]
    adjusted = holm([_NAN if p is None else p for p in p_values])
    return Comparison(
        spa_benchmark=benchmark,
        spa_p=_superior(reference, returns, config),
        overfitting=overfitting.probability if overfitting is not None else _NAN,
        overfitting_blocks=overfitting.blocks if overfitting is not None else 0,
        pairs=tuple(
            PairedTest(
                left=left.name,
                right=right.name,
                log_loss_difference=_difference(losses.get(left.name), losses.get(right.name), config),
                log_loss_p=p,
                log_loss_p_adjusted=None if p is None else together,
                return_difference=intervals.portfolio_excess(mine, other, yearly_bars, config),
            )
            for ((left, mine), (right, other)), p, together in zip(pairs, p_values, adjusted, strict=True)
        ),
    )


def _losses(rows: JudgedRows, probabilities: NDArray[np.float32]) -> Floats:
    """float64 [moments]: mean log-loss of the rows decided at one moment."""
    _, place, count = np.unique(rows.timestamps, return_inverse=True, return_counts=True)
    each = signal_metrics.log_losses(rows.action, probabilities)
    return np.bincount(place, weights=each) / count


def _difference(left: Floats | None, right: Floats | None, config: BootstrapConfig) -> Interval | None:
    return None if left is None or right is None else paired_difference(left, right, config=config)


def _p_value(left: Floats | None, right: Floats | None, label_bars: int) -> float | None:
    """Losses overlap for as long as labels do. In simulation a nominal 5 % test with as many lags rejects
    11 %, with three times as many 6 %."""
    return None if left is None or right is None else diebold_mariano(left, right, lags=3 * label_bars).p


def _superior(reference: Portfolio, returns: Sequence[Floats], config: BootstrapConfig) -> float:
    if not returns:
        return _NAN
    return superior_predictive_ability(
        metrics.log_returns(reference.equity),
        np.stack(returns, axis=1),
        block=config.block_bars,
        draws=config.draws,
        seed=config.seed,
    )
