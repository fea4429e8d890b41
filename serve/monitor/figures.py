"""How one decider does: every figure of `AgentFigures` from the columns of the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.measures import reliability_curve
from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.trading_metrics import NAN, break_even_win_rate
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.moments import Moments, moments_of, scaled
from quantum_trader.serve.monitor.records import AgentFigures, CalibrationBin
from quantum_trader.serve.monitor.table import UNKNOWN, Floats, Mask, Small, Table
from quantum_trader.serve.monitor.trades import Trades, closed_trades

CALIBRATION_BINS = 10
_ROWS_A_BIN = 20
_DAY_MS = 86_400_000
HISTOGRAM_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Decider:
    """One decider on the rows it was asked about.

    Attributes:
        name: "arbiter" or "xgboost".
        table: N decisions, oldest bar first.
        actions: int8 [N], values of `Action`.
        confidence: float64 [N], directional.
    """

    name: str
    table: Table
    actions: Small
    confidence: Floats

    @cached_property
    def trades(self) -> Trades:
        """Closed trades that do not overlap."""
        return closed_trades(self.table, self.actions)

    @property
    def directed(self) -> Mask:
        """bool [N]: BUY and SELL decisions."""
        return np.asarray(self.actions != Action.HOLD)

    @property
    def judged(self) -> Mask:
        """bool [N]: those of them whose outcome is known."""
        return self.directed & self.table.resolved

    @property
    def moved(self) -> Mask:
        """bool [N]: those of these whose label is BUY or SELL, so that the direction was right or wrong."""
        return np.asarray(self.judged & (self.table.label != Action.HOLD))

    @property
    def right(self) -> Mask:
        """bool [N]: whether the action is the label."""
        return np.asarray(self.actions == self.table.label)


def arbiter(counted: Table) -> Decider:
    """The Arbiter on its decisions proper."""
    return Decider(name="arbiter", table=counted, actions=counted.action, confidence=counted.confidence)


def shadow(counted: Table) -> Decider | None:
    """XGBoost alone, on the decisions it was asked about; None where it never was."""
    asked = counted.shadow_action != UNKNOWN
    if not asked.any():
        return None
    rows = counted if asked.all() else counted.where(asked)
    return Decider(name="xgboost", table=rows, actions=rows.shadow_action, confidence=rows.shadow_confidence)


def agent_figures(decider: Decider, moments: Moments, config: MonitorConfig) -> AgentFigures:
    """All figures of a decider; NaN where nothing is known."""
    table, directed, judged, moved = decider.table, decider.directed, decider.judged, decider.moved
    trades = decider.trades
    bins = calibration_bins(decider.confidence[moved], decider.right[moved], config.fewest_directions)
    level = config.level
    return AgentFigures(
        agent=decider.name,
        decisions=len(table),
        resolved=int(table.resolved.sum()),
        shares=action_shares(decider.actions),
        average_confidence=_mean(decider.confidence[directed]),
        trades=len(trades),
        win_rate=win_rate(trades, moments, level),
        break_even=break_even_win_rate(trades.net),
        net_return=net_return(trades, moments, level),
        total_return=float(trades.net.sum()) if len(trades) else NAN,
        gross_return=float(trades.gross.sum()) if len(trades) else NAN,
        false_positive_rate=moments.mean(~decider.right[judged], table.bar_ms[judged], level=level),
        direction_accuracy=moments.mean(decider.right[moved], table.bar_ms[moved], level=level),
        calibration_error=calibration_error(bins),
        calibration=bins,
    )


def win_rate(trades: Trades, moments: Moments, level: float) -> Interval:
    """Share of the trades with a profit after all costs."""
    return moments.mean(trades.net > 0, trades.bar_ms, level=level)


def net_return(trades: Trades, moments: Moments, level: float) -> Interval:
    """Mean net return of a trade, fraction of notional."""
    return moments.mean(trades.net, trades.bar_ms, level=level)


def action_shares(actions: Small) -> dict[str, float]:
    """Share of each action by its name; NaN without decisions."""
    counts = np.bincount(actions.astype(np.int64), minlength=len(Action))
    return {action.name: float(counts[action]) / len(actions) if len(actions) else NAN for action in Action}


def confidence_histogram(decider: Decider) -> tuple[int, ...]:
    """BUY and SELL decisions in ten equal bins of directional confidence from 0.5 to 1."""
    counts, _ = np.histogram(
        np.clip(decider.confidence[decider.directed], 0.5, 1.0), bins=HISTOGRAM_BINS, range=(0.5, 1.0)
    )
    return tuple(int(count) for count in counts)


def calibration_bins(confidence: Floats, right: Mask, fewest: int) -> tuple[CalibrationBin, ...]:
    """Up to ten bins of equal mass, least confident first; none below `fewest` rows.

    Args:
        confidence: float64 [M], stated chance of being right.
        right: bool [M].
        fewest: rows below which a bin says more about luck than about the model.
    """
    if len(confidence) < max(fewest, 1):
        return ()
    bins = min(CALIBRATION_BINS, max(len(confidence) // _ROWS_A_BIN, 1))
    curve = reliability_curve(confidence, right, bins)
    edges = np.cumsum(curve.count)
    ordered = np.sort(confidence)
    return tuple(
        CalibrationBin(
            low=float(ordered[end - count]),
            high=float(ordered[end - 1]),
            count=int(count),
            confidence=float(stated),
            accuracy=float(share),
        )
        for end, count, stated, share in zip(
            edges, curve.count, curve.confidence, curve.accuracy, strict=True
        )
    )


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Mean distance of stated from observed frequency over the bins, weighted by rows; NaN without bins."""
    rows = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / rows if rows else NAN


def daily_difference(own: Decider, other: Decider, config: MonitorConfig, *, sure: bool = False) -> Interval:
    """Mean net return a day, the Arbiter's less the shadow's, where both were asked.

    Each holds one position a symbol of its own; the returns of all symbols are added up. A day is one of
    those on which something was decided. `sure` draws the interval at the level of alerts.
    """
    both = other.table
    trades = own.trades if own.table is both else closed_trades(both, both.action)
    moments = moments_of(both, config)
    values = np.concatenate([trades.net, -other.trades.net])
    when = np.concatenate([trades.bar_ms, other.trades.bar_ms])
    found = moments.sure_total(values, when) if sure else moments.total(values, when, level=config.level)
    per_day = len(moments.bar_ms) / len(np.unique(moments.bar_ms // _DAY_MS))
    found = found if len(values) else replace(found, estimate=NAN)
    return scaled(found, per_day)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else NAN
