"""The confidence gate: trade validation rows at several thresholds and keep the one that pays, if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import GateSettings
from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.train.arbiter_config import ArbiterConfig
from quantum_trader.train.dataset import PooledDataset

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DailyTrades:
    """Closed trades summed by the UTC day of their entry, since trades of one day are not independent.

    Attributes:
        profit: float64 [D], sum of net returns on notional.
        trades: float64 [D], number of trades.
    """

    profit: Floats
    trades: Floats


@dataclass(frozen=True, kw_only=True)
class GateTrial:
    """What one confidence threshold did on validation rows."""

    threshold: float
    """Directional confidence from which on rows are traded."""
    coverage: float
    """Share of rows answered with BUY or SELL."""
    days: DailyTrades
    """The trades."""


def execution_config(barrier_atr: float, horizon_bars: int) -> EnvConfig:
    """How signals are traded: out at the label's own barriers, or after its horizon."""
    return EnvConfig(take_profit_atr=barrier_atr, stop_loss_atr=barrier_atr, max_holding_bars=horizon_bars)


def trade_by_day(
    rows: PooledDataset, actions: NDArray[np.int8], barrier_atr: float, horizon_bars: int
) -> DailyTrades:
    """Trade `actions` through the environment's own rules, each market by itself, after all costs.

    Args:
        rows: `N` decision rows.
        actions: int8 [N], `Action` values.
        barrier_atr, horizon_bars: of the labels.
    """
    config = execution_config(barrier_atr, horizon_bars)
    frames = []
    for index, market in enumerate(rows.markets):
        mine = rows.market == index
        if not mine.any():
            continue
        per_bar = np.full(len(market), Action.HOLD, dtype=np.int8)
        per_bar[rows.end[mine]] = actions[mine]
        start, stop = int(rows.end[mine].min()), int(rows.end[mine].max()) + 1
        frames.append(run_actions(market, per_bar, config, start=start, stop=stop).trades())
    trades = pd.concat([frame[["entry_time", "return_on_notional"]] for frame in frames])
    by_day = trades.groupby(trades["entry_time"].dt.floor("D"))["return_on_notional"].agg(["sum", "count"])
    return DailyTrades(
        profit=by_day["sum"].to_numpy(dtype=np.float64), trades=by_day["count"].to_numpy(dtype=np.float64)
    )


def profit_interval(days: DailyTrades, config: ArbiterConfig) -> tuple[float, float, float]:
    """Mean net return per trade with its bootstrap interval over whole days.

    Days are drawn with replacement (a cluster bootstrap): trades of different symbols on one day move
    together, and a trade lasts hours.

    Returns:
        mean, lower and upper end, as fractions of notional; NaN without trades.
    """
    count = len(days.trades)
    if count == 0:
        return float("nan"), float("nan"), float("nan")
    generator = np.random.default_rng(config.seed)
    draws = generator.multinomial(count, np.full(count, 1.0 / count), size=config.draws)
    means = (draws @ days.profit) / np.maximum(draws @ days.trades, 1.0)
    tail = (1.0 - config.level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(days.profit.sum() / days.trades.sum()), float(low), float(high)


def choose_threshold(
    trials: Sequence[GateTrial], hold_threshold: float, config: ArbiterConfig
) -> GateSettings:
    """The threshold with the highest mean net profit per trade among those that pay.

    One pays if its interval lies above zero. Where none does there is no evidence that a gate helps, and the
    gate stays open rather than say HOLD for ever; the rule says so in words.
    """
    measured = [(trial, profit_interval(trial.days, config)) for trial in trials]
    paying = [(trial, profit) for trial, profit in measured if profit[1] > 0]
    if not paying:
        rule = (
            f"auto: none of {len(trials)} thresholds had a net profit per trade whose {config.level:.0%} "
            "interval lay above zero on validation, so every direction is let through"
        )
        return GateSettings(hold_threshold=hold_threshold, confidence_threshold=0.5, rule=rule)
    best, (mean, low, high) = max(paying, key=lambda item: item[1][0])
    rule = (
        f"auto: highest net profit per trade on validation, {mean:+.4%} ({config.level:.0%} interval "
        f"{low:+.4%} to {high:+.4%}) at {best.coverage:.1%} of bars"
    )
    return GateSettings(hold_threshold=hold_threshold, confidence_threshold=best.threshold, rule=rule)
