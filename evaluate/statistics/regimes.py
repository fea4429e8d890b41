"""What kind of market it was, trend x volatility as known at each bar, and how an agent fared in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval, resampled_sums, tail_share
from quantum_trader.evaluate.records import RegimeRow, Trend, Volatility

TRENDS: tuple[Trend, ...] = ("falling", "sideways", "rising")
VOLATILITIES: tuple[Volatility, ...] = ("calm", "usual", "wild")
UNKNOWN = -1
"""Code of a bar with too little history to tell."""
SPAN = 24 * 30
"""Bars the trend looks back: thirty days of hours."""

_SIDEWAYS = 0.5
"""A driftless random walk ends within half a deviation of its start 38 % of the time: three like shares."""
_SHORTER = 5
"""Volatility changes sooner than trend: it looks back a fifth as far."""
_CALM, _WILD = 0.75, 1.0 / 0.75
"""Of the median so far: equally far from it, in ratio. The root mean square of 144 independent normal returns
errs by 6 %, so that chance alone crosses neither."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Milliseconds = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class MarketRegimes:
    """The kind of market at the close of every bar.

    Attributes:
        timestamps: int64 [T], bar opens, milliseconds since the epoch, UTC, strictly increasing.
        codes: int8 [T], see `regimes`.
    """

    timestamps: Milliseconds
    codes: Codes

    def decided_at(self, moments: Milliseconds) -> Codes:
        """int8 [N]: what was known at the CLOSE of the bars that open at `moments`, int64 [N], which is when
        decisions are taken."""
        return self._at(np.searchsorted(self.timestamps, moments, side="right"))

    def before(self, moments: Milliseconds) -> Codes:
        """int8 [N]: what was known at the OPEN of the bars that open at `moments`, int64 [N], which is when
        orders fill: the code of the bar before."""
        return self._at(np.searchsorted(self.timestamps, moments, side="left"))

    def _at(self, bars_seen: NDArray[np.intp]) -> Codes:
        found: Codes = np.append(np.int8(UNKNOWN), self.codes)[bars_seen].astype(np.int8)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectionCalls:
    """An agent's calls on the rows whose label is not HOLD.

    Attributes:
        timestamps: int64 [N], opens of the decision bars, milliseconds since the epoch, UTC.
        right: bool [N], whether the direction was the label's.
    """

    timestamps: Milliseconds
    right: Mask


def regimes(close: Floats, *, span: int = SPAN) -> Codes:
    """The kind of market at the close of every bar, from closes up to it and no later ones.

    Trend is the log return over the last `span` bars, in deviations that a driftless random walk with as
    large returns would have: z = ln(C[t] / C[t - span]) / sqrt(sum of the `span` squared log returns). Below
    -0.5 it is falling, above 0.5 rising. Volatility is the root mean square log return of the last
    `span` // 5 bars over the median of the same measure at every bar so far: below 0.75 it is calm, above
    1.33 wild.

    Args:
        close: float64 [T], > 0.
        span: bars of look-back, at least 5; longer finds slower trends and knows nothing for longer.

    Returns:
        int8 [T]: 3 x place in `TRENDS` + place in `VOLATILITIES`, so 0 to 8; -1 on the first `span` bars.

    Raises:
        ConfigError: a span below 5, or closes that are not positive numbers.
    """
    if not np.all(np.isfinite(close) & (close > 0)):
        raise ConfigError("close: expected positive numbers, found zero, negative or missing ones.")
    return _codes(np.diff(np.log(close)), span) if len(close) else np.zeros(0, dtype=np.int8)


def regime_names(code: int) -> tuple[Trend, Volatility]:
    """The names of a code from 0 to 8.

    Raises:
        ConfigError: another code; that of an unknown market is one.
    """
    if not 0 <= code < len(TRENDS) * len(VOLATILITIES):
        raise ConfigError(f"code: expected a number from 0 to 8, found {code}.")
    return TRENDS[code // len(VOLATILITIES)], VOLATILITIES[code % len(VOLATILITIES)]


def index_regimes(closes: Sequence[tuple[Milliseconds, Floats]], *, span: int = SPAN) -> MarketRegimes:
    """The kind of market that several symbols make together: that of their equal-weight index.

    The index returns, at each moment, the mean log return of the symbols that have a bar there and one
    before; a symbol that starts later joins with its second bar.

    Args:
        closes: opens of the bars, int64 [T], milliseconds since the epoch, strictly increasing, and closes,
            float64 [T], > 0, of each symbol: all of its history, or the first bars judged have no past.
        span: see `regimes`.

    Raises:
        ConfigError: no symbol, or as in `regimes`.
    """
    if not closes or not all(len(time) == len(close) > 0 for time, close in closes):
        raise ConfigError("closes: expected timestamps and closes of at least one symbol, of one length.")
    if not all(np.all(np.isfinite(close) & (close > 0)) for _, close in closes):
        raise ConfigError("closes: expected positive numbers, found zero, negative or missing ones.")
    moments = np.unique(np.concatenate([time for time, _ in closes]))
    total, symbols = np.zeros(len(moments)), np.zeros(len(moments))
    for time, close in closes:
        places = np.searchsorted(moments, time[1:])
        total[places] += np.diff(np.log(close))
        symbols[places] += 1.0
    returns = total / np.maximum(symbols, 1.0)
    return MarketRegimes(timestamps=moments, codes=_codes(returns[1:], span))


def regime_rows(
    market: MarketRegimes,
    *,
    timestamps: Milliseconds,
    log_returns: Floats,
    entered: Milliseconds,
    net_pnl: Floats,
    calls: DirectionCalls | None,
    config: BootstrapConfig,
) -> tuple[RegimeRow, ...]:
    """How one agent fared in every kind of market that occurred.

    A bar's return belongs to what was known at its open, a trade to what was known when its order filled, a
    call to what was known at the close it was made on: never to what the bar itself then showed. Bars with
    too little history before them are in no row, so shares add up to less than 1 where there are such.

    Args:
        market: known over the bars judged and `span` bars before.
        timestamps: int64 [n], opens of the bars traded, milliseconds since the epoch, UTC.
        log_returns: float64 [n], the portfolio's log return over each of them.
        entered: int64 [m], opens of the bars that the closed trades were entered on.
        net_pnl: float64 [m], profit of these trades after all costs.
        calls: what the agent said of direction; None without probabilities.
        config: the interval of the sum of log returns resamples the WHOLE period in blocks, with the returns
            of other regimes set to zero: how often a regime comes back is part of what is uncertain.

    Returns:
        One row a regime, falling and calm first.
    """
    codes = market.before(timestamps)
    present = np.unique(codes[codes != UNKNOWN])
    masked = np.where(codes[:, None] == present, log_returns[:, None], 0.0)
    sums = _intervals(masked, config)
    at_entry = market.before(entered)
    at_call = None if calls is None else market.decided_at(calls.timestamps)
    rows = []
    for code, interval in zip(present, sums, strict=True):
        trend, volatility = regime_names(int(code))
        won = net_pnl[at_entry == code] > 0
        rows.append(
            RegimeRow(
                trend=trend,
                volatility=volatility,
                share=float(np.mean(codes == code)),
                log_return=interval,
                trades=len(won),
                win_rate=_share(won),
                direction_accuracy=None
                if calls is None or at_call is None
                else _share(calls.right[at_call == code]),
            )
        )
    return tuple(rows)


def _codes(returns: Floats, span: int) -> Codes:
    """`regimes` from the T - 1 log returns between T closes."""
    if span < _SHORTER:
        raise ConfigError(f"span: expected at least {_SHORTER} bars, found {span}.")
    short = span // _SHORTER
    codes = np.full(len(returns) + 1, UNKNOWN, dtype=np.int8)
    if len(returns) < span:
        return codes
    move, squares = _trailing(returns, span), _trailing(returns**2, span)
    # A price that stood still went nowhere.
    trend = np.where(squares > 0, move / np.sqrt(np.where(squares > 0, squares, 1.0)), 0.0)
    recent = np.sqrt(_trailing(returns**2, short) / short)
    usual = pd.Series(recent).expanding().median().to_numpy()[span - short :]
    recent = recent[span - short :]
    rises = (trend > _SIDEWAYS).astype(np.int8) - (trend < -_SIDEWAYS).astype(np.int8)
    moves = (recent > _WILD * usual).astype(np.int8) - (recent < _CALM * usual).astype(np.int8)
    codes[span:] = (rises + 1) * len(VOLATILITIES) + moves + 1
    return codes


def _trailing(values: Floats, count: int) -> Floats:
    """float64 [n - count + 1]: sums of `count` values in a row, from running sums, so that a sum depends on
    nothing after it."""
    running = np.concatenate([[0.0], np.cumsum(values)])
    sums: Floats = running[count:] - running[:-count]
    return sums


def _intervals(data: Floats, config: BootstrapConfig) -> list[Interval]:
    """Interval of the sum of each column of float64 [n, m], all columns resampled together."""
    if data.size == 0:
        return []
    drawn = resampled_sums(data, block=config.block_bars, draws=config.draws, seed=config.seed)
    tail = tail_share(len(data), config.block_bars, config.level)
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return [
        Interval(estimate=float(total), low=float(least), high=float(most), level=config.level)
        for total, least, most in zip(data.sum(axis=0), low, high, strict=True)
    ]


def _share(flags: Mask) -> float:
    return float(np.mean(flags)) if len(flags) else float("nan")
