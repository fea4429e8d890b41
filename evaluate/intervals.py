"""Intervals of what portfolios earned and of what signals knew, resampled over whole stretches of time.

Rows and trades of several symbols at one moment move together, so they are added up per moment first: a
resample takes a moment with everything that happened in it, or leaves it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import bootstrap, signal_metrics, trading_metrics
from quantum_trader.evaluate.backtest import Portfolio
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Labels = NDArray[np.int8]
Moments = NDArray[np.int64]


def portfolio_return(portfolio: Portfolio, config: BootstrapConfig) -> Interval:
    """Net return over the whole period."""
    return bootstrap.total_return_interval(trading_metrics.log_returns(portfolio.equity), config=config)


def portfolio_sharpe(portfolio: Portfolio, yearly_bars: float, config: BootstrapConfig) -> Interval:
    """Yearly Sharpe ratio."""
    found = bootstrap.sharpe_interval(trading_metrics.returns(portfolio.equity), config=config)
    return scaled(found, float(np.sqrt(yearly_bars)))


def portfolio_excess(
    portfolio: Portfolio, other: Portfolio, yearly_bars: float, config: BootstrapConfig
) -> Interval:
    """Mean log return a year above another portfolio on the same bars, resampled in pairs."""
    difference = bootstrap.paired_difference(
        trading_metrics.log_returns(portfolio.equity),
        trading_metrics.log_returns(other.equity),
        config=config,
    )
    return scaled(difference, yearly_bars)


def portfolio_win_rate(portfolio: Portfolio, config: BootstrapConfig) -> Interval:
    """Share of closed trades with a profit after all costs; trades are binned by the bar of their entry."""
    bars = np.searchsorted(portfolio.timestamps, entry_moments(portfolio))
    net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
    return bootstrap.win_rate_interval(bars, net, length=len(portfolio.timestamps), config=config)


def entry_moments(portfolio: Portfolio) -> Moments:
    """int64 [M]: open of the bar each closed trade was entered on, milliseconds since the epoch, UTC."""
    # A constant unit, whatever resolution the column happens to be stored in.
    moments: Moments = portfolio.trades["entry_time"].dt.as_unit("ms").astype(np.int64).to_numpy()
    return moments


def direction_accuracy(
    labels: Labels, probabilities: Floats32, moments: Moments, share: float, config: BootstrapConfig
) -> Interval:
    """Direction accuracy on the most confident `share` of the rows whose label is not HOLD.

    Args:
        labels: int8 [N].
        probabilities: float32 [N, 3].
        moments: int64 [N], when each row was decided, ascending.
        share: of the rows whose label is not HOLD.
        config: how the interval is drawn.
    """
    moved = np.flatnonzero(labels != Action.HOLD)
    if len(moved) == 0:
        return bootstrap.mean_interval(np.zeros(0), config=config)
    confidence = signal_metrics.directional_confidence(probabilities[moved])
    wanted = max(1, round(share * len(moved)))
    cut = np.partition(confidence, len(confidence) - wanted)[len(confidence) - wanted]
    rows = moved[confidence >= cut]
    right = signal_metrics.direction(probabilities[rows]) == labels[rows]
    return _ratio_by_moment(right, moments[rows], np.unique(moments), config)


def log_loss_skill(
    labels: Labels, probabilities: Floats32, prior: Floats, moments: Moments, config: BootstrapConfig
) -> Interval:
    """1 - log-loss / log-loss of stating `prior` (float64 [3] or [N, 3]); else as `direction_accuracy`."""
    stated = np.broadcast_to(prior, (len(labels), 3))
    places = np.searchsorted(np.unique(moments), moments)
    own = np.bincount(places, weights=signal_metrics.log_losses(labels, probabilities))
    reference = np.bincount(places, weights=signal_metrics.log_losses(labels, stated))
    ratio = bootstrap.ratio_interval(own, reference, config=config)
    return replace(ratio, estimate=1.0 - ratio.estimate, low=1.0 - ratio.high, high=1.0 - ratio.low)


def scaled(interval: Interval, factor: float) -> Interval:
    """The interval in another unit, `factor` > 0 of the old ones."""
    return replace(
        interval,
        estimate=interval.estimate * factor,
        low=interval.low * factor,
        high=interval.high * factor,
    )


def _ratio_by_moment(
    right: NDArray[np.bool_], when: Moments, every: Moments, config: BootstrapConfig
) -> Interval:
    places = np.searchsorted(every, when)
    wins = np.bincount(places, weights=right, minlength=len(every))
    rows = np.bincount(places, minlength=len(every))
    return bootstrap.share_interval(wins, rows, config=config)
