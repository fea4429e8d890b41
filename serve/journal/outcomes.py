"""What became of a decision: its triple-barrier label and the trades that it could have been.

An outcome looks at the bars t + 1 ... t + horizon_bars + 1 after the bar decided on: the label at all but
the last, at whose open a trade that met no barrier is closed. It is made once they are all there, from what
they say and nothing else. Where more than `MAX_GAP_BARS` bars are missing among them (pauses of the session
exempt) it is void, as such rows have no label in training either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.single_trade import SingleTrade, single_trade
from quantum_trader.envs.windows import is_break
from quantum_trader.evaluate.backtest import BacktestConfig
from quantum_trader.serve.journal.records import Outcome, TradeResult
from quantum_trader.serve.journal.series import as_series

_BALANCE = 10_000.0
_LOTS = 8.0


@dataclass(frozen=True, kw_only=True)
class Question:
    """A decision whose outcome is asked for."""

    symbol: str
    bar_ms: int
    """Open of the bar decided on, milliseconds since the epoch, UTC."""
    close: float
    """Of that bar, quote currency."""
    atr: float
    """ATR14 at that close, price units."""
    horizon_bars: int
    """Bars after which its labels end."""
    barrier_atr: float
    """Distance of the barriers from the fill, in ATR."""

    @property
    def bars_needed(self) -> int:
        """Bars after the one decided on."""
        return self.horizon_bars + 1


def outcome_of(
    question: Question, after: Sequence[Bar], contract: FuturesContract, step_ms: int
) -> Outcome | None:
    """The outcome of one decision; None where it is void.

    Args:
        question: the decision.
        after: the `bars_needed` bars that follow it, oldest first.
        contract: of the instrument: costs, funding, and which pauses are no gaps.
        step_ms: length of a bar.
    """
    times = [question.bar_ms, *(bar.timestamp for bar in after)]
    if any(is_break(before, then, step_ms, contract) for before, then in pairwise(times)):
        return None
    bars = as_series(question.symbol, after, step_ms)
    buy, sell = (_trade(question, bars, side, contract) for side in (Action.BUY, Action.SELL))
    if buy is None or sell is None:
        return None
    label = barrier_label(question, bars)
    return Outcome(symbol=question.symbol, bar_ms=question.bar_ms, label=label, buy=buy, sell=sell)


def barrier_label(question: Question, after: Bars) -> Action:
    """The label that `quantum_trader.train.labels.triple_barrier` gives the bar decided on.

    Args:
        question: the decision.
        after: at least `horizon_bars` bars that follow it.
    """
    horizon = slice(0, question.horizon_bars)
    fill = after.open[0]
    width = question.barrier_atr * question.atr / question.close
    up = after.high[horizon] >= fill * (1.0 + width)
    down = after.low[horizon] <= fill * (1.0 - width)
    touched = np.flatnonzero(up | down)
    if len(touched) == 0 or (up[touched[0]] and down[touched[0]]):
        return Action.HOLD
    return Action.BUY if up[touched[0]] else Action.SELL


def _trade(question: Question, after: Bars, side: Action, contract: FuturesContract) -> TradeResult | None:
    """A trade on the decision; None where the venue would not have filled it, such as after a price jump."""
    trade = single_trade(
        after,
        side,
        close=question.close,
        atr=question.atr,
        contract=contract,
        config=_environment(question, contract),
    )
    return None if trade is None else _result(trade, after)


def _environment(question: Question, contract: FuturesContract) -> EnvConfig:
    """The rules that backtests of signal agents trade by.

    Returns are fractions of the notional, so the balance only has to be large enough for the contract's lot
    and smallest order: an S&P future is worth more than the usual 10,000.
    """
    least = max(contract.lot_size * question.close, contract.min_notional)
    balance = _BALANCE if _LOTS * least <= _BALANCE else 2.0 ** math.ceil(math.log2(_LOTS * least))
    return _rules(question.barrier_atr, question.horizon_bars, balance)


@lru_cache(maxsize=256)
def _rules(barrier_atr: float, horizon_bars: int, balance: float) -> EnvConfig:
    rules = BacktestConfig(barrier_atr=barrier_atr, horizon_bars=horizon_bars, initial_balance=balance)
    return rules.environment("signal")


def _result(trade: SingleTrade, after: Bars) -> TradeResult:
    return TradeResult(
        exit_ms=int(after.timestamp[trade.exit_bar]),
        exit_reason=trade.exit_reason,
        entry_price=trade.entry_price,
        exit_price=trade.exit_price,
        gross_return=trade.gross_return,
        net_return=trade.net_return,
    )
