"""How an account fared: pure functions on equity curves and closed trades, one measure each.

Measures are PER BAR; `annualised_mean` and `annualised_ratio` make them yearly, given `bars_per_year`. A
measure that its input does not define (no trades, no losses, an equity that never moves) is NaN, never a
warning. `equity` is float [n], the account's value at the close of each bar, the initial balance first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.contract import Session

Floats = NDArray[np.float64]
Array = NDArray[Any]

_YEAR_MS = 365.25 * 86_400_000
_WEEKDAY_SHARE = 5 / 7
NAN = float("nan")


def bars_per_year(step_ms: int, session: Session = "24/7") -> float:
    """Bars of `step_ms` milliseconds in a year of 365.25 days, five sevenths of them if weekends are free."""
    return _YEAR_MS / step_ms * (1.0 if session == "24/7" else _WEEKDAY_SHARE)


def returns(equity: Array) -> Floats:
    """float64 [n - 1]: simple return of each bar; 0 once the account is empty."""
    before, after = equity[:-1].astype(np.float64), equity[1:]
    growth: Floats = np.divide(after, before, out=np.ones(len(before)), where=before > 0)
    return growth - 1.0


def log_returns(equity: Array) -> Floats:
    """float64 [n - 1]: log return of each bar; an account that empties loses a large finite amount once."""
    floor = max(float(equity[0]), 1.0) * 1e-9 if len(equity) else 1.0
    return np.diff(np.log(np.maximum(equity.astype(np.float64), floor)))


def total_return(equity: Array) -> float:
    """Final over initial equity, minus one."""
    return float(equity[-1] / equity[0] - 1.0) if len(equity) and equity[0] > 0 else NAN


def cagr(equity: Array, yearly_bars: float) -> float:
    """Compound growth a year: (final / initial) ** (years ** -1) - 1; NaN for fewer than two points."""
    if len(equity) < 2 or equity[0] <= 0:
        return NAN
    growth = max(float(equity[-1] / equity[0]), 0.0)
    exponent = yearly_bars / (len(equity) - 1)
    with np.errstate(over="ignore"):
        compound = float(np.float64(growth) ** exponent - 1.0)
    return compound if np.isfinite(compound) else NAN


def volatility(bar_returns: Array) -> float:
    """Standard deviation of the returns of a bar (n - 1 in the denominator)."""
    return float(np.std(bar_returns, ddof=1)) if len(bar_returns) > 1 else NAN


def sharpe(bar_returns: Array) -> float:
    """Mean over standard deviation of the returns of a bar (Sharpe 1994), no risk-free rate."""
    spread = volatility(bar_returns)
    return float(np.mean(bar_returns)) / spread if spread > 0 else NAN


def sortino(bar_returns: Array) -> float:
    """Mean over the root mean square of the negative returns of a bar (Sortino & Price 1994), target 0."""
    if len(bar_returns) == 0:
        return NAN
    downside = float(np.sqrt(np.mean(np.minimum(bar_returns, 0.0) ** 2)))
    return float(np.mean(bar_returns)) / downside if downside > 0 else NAN


def annualised_ratio(ratio: float, yearly_bars: float) -> float:
    """A Sharpe or Sortino ratio (or a volatility) of a bar as a yearly one: times the root of the bars."""
    return ratio * float(np.sqrt(yearly_bars))


def annualised_mean(mean: float, yearly_bars: float) -> float:
    """A mean return of a bar as a yearly one, without compounding."""
    return mean * yearly_bars


def drawdowns(equity: Array) -> Floats:
    """float64 [n]: loss since the highest equity so far, as a fraction of it, in [0, 1]."""
    peak = np.maximum.accumulate(equity.astype(np.float64))
    loss: Floats = np.divide(peak - equity, peak, out=np.zeros(len(peak)), where=peak > 0)
    return np.clip(loss, 0.0, 1.0)


def max_drawdown(equity: Array) -> float:
    """Largest loss since a peak, as a fraction of the peak, in [0, 1]."""
    return float(np.max(drawdowns(equity))) if len(equity) else NAN


def max_drawdown_bars(equity: Array) -> int:
    """Longest stretch below a former peak, in bars, whether or not the account recovered."""
    below = drawdowns(equity) > 0
    index = np.arange(len(below))
    last_peak = np.maximum.accumulate(np.where(below, -1, index)) if len(below) else index
    return int(np.max(np.where(below, index - last_peak, 0), initial=0))


def calmar(equity: Array, yearly_bars: float) -> float:
    """CAGR over the maximum drawdown (Young 1991); NaN without a drawdown."""
    worst = max_drawdown(equity)
    return cagr(equity, yearly_bars) / worst if worst > 0 else NAN


def profit_factor(net_pnl: Array) -> float:
    """Sum of winning over sum of losing trades, float [M] net of costs; NaN without a losing trade."""
    lost = -float(np.sum(net_pnl[net_pnl < 0]))
    return float(np.sum(net_pnl[net_pnl > 0])) / lost if lost > 0 else NAN


def expectancy(net_pnl: Array) -> float:
    """Mean net profit of a closed trade, in the unit of `net_pnl` (quote currency or return)."""
    return float(np.mean(net_pnl)) if len(net_pnl) else NAN


def win_rate(net_pnl: Array) -> float:
    """Share of closed trades whose profit after all costs is above zero."""
    return float(np.mean(net_pnl > 0)) if len(net_pnl) else NAN


def break_even_win_rate(net_pnl: Array) -> float:
    """Win rate at which the average win and the average loss cancel: loss / (win + loss).

    A trade that nets exactly zero counts as a loss of zero, as it does in `win_rate`, so that the win rate
    lies above its break-even exactly when `expectancy` is above zero. NaN unless both kinds occurred.
    """
    won, lost = net_pnl[net_pnl > 0], net_pnl[net_pnl <= 0]
    if len(won) == 0 or len(lost) == 0:
        return NAN
    average_win, average_loss = float(np.mean(won)), -float(np.mean(lost))
    return average_loss / (average_win + average_loss)


def turnover(traded_notional: Array, equity: Array) -> float:
    """Notional bought and sold over the whole period, as a multiple of the mean equity.

    Args:
        traded_notional: float [M], absolute notional of each fill or each trade.
        equity: float [n].
    """
    mean = float(np.mean(equity)) if len(equity) else NAN
    return float(np.sum(traded_notional)) / mean if mean > 0 else NAN


def exposure(positions: Array) -> float:
    """Share of bars with an open position; `positions` is float [n], signed quantity."""
    return float(np.mean(positions != 0)) if len(positions) else NAN
