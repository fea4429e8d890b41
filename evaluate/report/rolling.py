"""The win rate over time: in a window that moves through the period, with a block interval at each place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate import bootstrap, trading_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Array = NDArray[Any]

_TRADES = 100
"""Trades that a window should hold on average."""
_BLOCKS = 15
"""Blocks that a window should hold, so that resampling them says something."""
_FEWEST_WINDOWS = 3
"""Windows that have to fit side by side, or there is nothing to see move."""
_FEWEST_TRADES = 30
"""Trades below which a window is left blank."""
_DRAWS = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class RollingWinRate:
    """Win rate of one agent's closed trades in a moving window.

    Attributes:
        name: the agent.
        window_bars: length of the window.
        timestamps: int64 [n], last bar of each window, milliseconds since the epoch, UTC.
        win_rate: float64 [n], share of the trades closed in the window with a profit after all costs; NaN
            where there are too few of them.
        low, high: float64 [n], its block interval; NaN where there is none.
        break_even: float64 [n], win rate at which the average win and loss of these trades cancel.
        level: nominal coverage at each point, e.g. 0.95.
    """

    name: str
    window_bars: int
    timestamps: Array
    win_rate: Floats
    low: Floats
    high: Floats
    break_even: Floats
    level: float


def window_length(bars: int, trades: int, block: float) -> int:
    """Bars that hold about 100 trades and 15 blocks; 0 where three such windows do not fit in `bars`."""
    if trades == 0:
        return 0
    wanted = max(_TRADES * bars / trades, _BLOCKS * block)
    return round(wanted) if wanted * _FEWEST_WINDOWS <= bars else 0


def rolling_win_rate(
    name: str,
    timestamps: Array,
    closed: Array,
    net_pnl: Array,
    config: BootstrapConfig,
    points: int = 100,
) -> RollingWinRate | None:
    """Win rate, interval and break-even of the trades closed in windows that end at `points` moments.

    Trades that closed at one moment are resampled together, in blocks of moments.

    Args:
        name: the agent.
        timestamps: int64 [T], every bar of the period, ascending, milliseconds since the epoch, UTC.
        closed: int64 [M], when each trade was closed, same unit.
        net_pnl: float [M], its profit after all costs.
        config: how blocks of bars are resampled; at most 500 draws are taken.
        points: places of the window; more make a smoother line and a longer page.

    Returns:
        None where too few trades were closed for three windows to stand side by side.
    """
    length = window_length(len(timestamps), len(closed), config.block_bars)
    if length == 0:
        return None
    order = np.argsort(closed, kind="stable")
    bars = np.minimum(np.searchsorted(timestamps, np.asarray(closed)[order]), len(timestamps) - 1)
    net = np.asarray(net_pnl, dtype=np.float64)[order]
    stops = np.unique(np.linspace(length, len(timestamps), points).round().astype(np.int64))
    fewer = replace(config, draws=min(config.draws, _DRAWS))
    found = np.array([_window(bars, net, int(stop), length, fewer) for stop in stops])
    return RollingWinRate(
        name=name,
        window_bars=length,
        timestamps=np.asarray(timestamps)[stops - 1],
        win_rate=found[:, 0],
        low=found[:, 1],
        high=found[:, 2],
        break_even=found[:, 3],
        level=config.level,
    )


def _window(
    bars: Integers, net: Floats, stop: int, length: int, config: BootstrapConfig
) -> tuple[float, float, float, float]:
    """Win rate, its bounds and break-even of the trades closed on bars [stop - length, stop)."""
    first, last = np.searchsorted(bars, [stop - length, stop])
    if last - first < _FEWEST_TRADES:
        return (float("nan"),) * 4
    mine = net[first:last]
    rate = bootstrap.win_rate_interval(bars[first:last] - (stop - length), mine, length=length, config=config)
    return rate.estimate, rate.low, rate.high, trading_metrics.break_even_win_rate(mine)
