"""Triple-barrier labels (Lopez de Prado 2018, ch. 3): what a trade entered next would meet first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.data_config import LabelConfig

UNDEFINED = -1
"""Label of a row whose future is not in the data or crosses an over-long gap."""

_BARRIER_RANGE = (0.05, 20.0)
_BISECTIONS = 24

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of `T` bars.

    Attributes:
        action: int8 [T], `Action` values; -1 where undefined.
        end: int64 [T], index of the last bar the barrier label looks at: the bar of the first touch, else the
            last bar of the horizon; t itself where undefined.
        reach: int64 [T], index of the last bar anything about the row looks at (`end` and `forward_returns`);
            what purging goes by; t itself where undefined.
        forward_returns: float32 [T, H], ln(close[t + h] / open[t + 1]) for h in `HORIZONS`: the log return
            from the fill to the close of the h-th bar held; NaN where undefined.
        valid: bool [T], where the above are defined.
    """

    action: NDArray[np.int8]
    end: Rows
    reach: Rows
    forward_returns: NDArray[np.float32]
    valid: Mask


def triple_barrier(market: Market, config: LabelConfig) -> Labels:
    """Label every bar of a market.

    The decision falls at the close of bar t and fills at open[t + 1]. The barriers lie at
    fill x (1 +- barrier_atr x ATR_t / close_t), a width known at t. The one that the high or low of bars
    t + 1 ... t + horizon_bars touches first names the label: the upper BUY, the lower SELL, none HOLD. Where
    the first bar to touch one touches both, bars do not tell which came first, and the row counts as a loss
    for a buyer and for a seller alike: HOLD.

    A row is undefined where ATR is, where its horizons pass the end of the data, and where an over-long gap
    (`Market.breaks`) lies inside them.

    Raises:
        ConfigError: `config.barrier_atr` has not been chosen (see `choose_barrier`).
    """
    return label_bars(market.bars, market.atr, market.breaks, config)


def label_bars(bars: Bars, atr: Floats, breaks: Mask, config: LabelConfig) -> Labels:
    """`triple_barrier` on its parts.

    Args:
        bars: `T` bars.
        atr: float64 [T], average true range in price units; NaN where undefined.
        breaks: bool [T], True where an over-long gap precedes the bar.
        config: with a number in `barrier_atr`.
    """
    if config.barrier_atr is None:
        raise ConfigError("barrier_atr is not set: choose it on training rows with choose_barrier.")
    valid = np.isfinite(atr) & _unbroken_ahead(breaks, config.reach_bars)
    index = np.arange(len(bars), dtype=np.int64)
    rows = index[valid]
    width = config.barrier_atr * atr[rows] / bars.close[rows]
    action, end = np.full(len(bars), UNDEFINED, dtype=np.int8), index.copy()
    action[rows], end[rows] = _first_touches(bars, width, rows, config.horizon_bars)
    return Labels(
        action=action,
        end=end,
        reach=np.where(valid, index + config.reach_bars, index),
        forward_returns=_forward_returns(bars, valid),
        valid=valid,
    )


def choose_barrier(markets: Sequence[Market], masks: Sequence[Mask], config: LabelConfig) -> LabelConfig:
    """`config` with the `barrier_atr` that brings HOLD's share on the given rows to `config.hold_share`.

    HOLD's share grows with the barrier as long as few bars touch both barriers, so bisection finds it.

    Args:
        markets: the pooled markets.
        masks: bool [T] of each market: its TRAINING rows and no others, or the label would know the test.
        config: returned unchanged where `barrier_atr` is a number already.
    """
    if config.barrier_atr is not None:
        return config
    if not any(mask.any() for mask in masks):
        raise TrainingError(
            "Choosing the label barrier needs training rows, found none: widen the training range."
        )
    low, high = _BARRIER_RANGE
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        trial = replace(config, barrier_atr=middle)
        low, high = (
            (low, middle) if _hold_share(markets, masks, trial) > config.hold_share else (middle, high)
        )
    return replace(config, barrier_atr=round((low + high) / 2, 4))


def _hold_share(markets: Sequence[Market], masks: Sequence[Mask], config: LabelConfig) -> float:
    held, total = 0, 0
    for market, mask in zip(markets, masks, strict=True):
        labels = triple_barrier(market, config)
        counted = labels.action[mask & labels.valid]
        held += int(np.count_nonzero(counted == Action.HOLD))
        total += len(counted)
    if total == 0:
        raise TrainingError(
            "Choosing the label barrier needs training rows with labels, found none: give longer data."
        )
    return held / total


def _unbroken_ahead(breaks: Mask, bars_ahead: int) -> Mask:
    """bool [T]: whether bars t + 1 ... t + bars_ahead exist and no break precedes one of them."""
    total = np.concatenate([[0], np.cumsum(breaks)])
    unbroken = np.zeros(len(breaks), dtype=np.bool_)
    count = len(breaks) - bars_ahead
    if count > 0:
        unbroken[:count] = total[1 + bars_ahead :] == total[1 : 1 + count]
    return unbroken


def _forward_returns(bars: Bars, valid: Mask) -> NDArray[np.float32]:
    returns = np.full((len(bars), len(HORIZONS)), np.nan, dtype=np.float32)
    rows = np.flatnonzero(valid)
    fill = np.log(bars.open[rows + 1])
    for column, horizon in enumerate(HORIZONS):
        returns[rows, column] = np.log(bars.close[rows + horizon]) - fill
    return returns


def _first_touches(bars: Bars, width: Floats, rows: Rows, horizon: int) -> tuple[NDArray[np.int8], Rows]:
    """Label and last bar of `rows`: one pass over the rows per bar ahead, dropping the decided ones."""
    fill = bars.open[rows + 1]
    upper, lower = fill * (1.0 + width), fill * (1.0 - width)
    action = np.full(len(rows), Action.HOLD, dtype=np.int8)
    end = rows + horizon
    waiting = np.arange(len(rows))
    for ahead in range(1, horizon + 1):
        bar = rows[waiting] + ahead
        up, down = bars.high[bar] >= upper[waiting], bars.low[bar] <= lower[waiting]
        action[waiting[up & ~down]] = Action.BUY
        action[waiting[down & ~up]] = Action.SELL
        end[waiting[up | down]] = bar[up | down]
        waiting = waiting[~(up | down)]
    return action, end
