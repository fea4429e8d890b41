"""What chance does with an agent's own turnover: its own decisions, moved to other moments.

Flipping a coin on every bar with the agent's frequencies would trade more often than an agent whose signals
last several bars, and lose to it through costs alone. Moving the whole sequence of decisions in a circle
keeps how often the agent buys, sells and waits, how long its signals last and how much its symbols act alike,
and takes away only its timing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.layout import TRADE, records
from quantum_trader.evaluate.backtest import Actions, Ground, Portfolio
from quantum_trader.evaluate.records import CoinFlips, Kind

Floats = NDArray[np.float64]


_NEAREST = 0.02
"""Moves shorter than this share of the period are left out: they are nearly the agent itself."""


def moved(actions: Actions, share: float) -> Actions:
    """int8 [n], later by `share` of their length; what leaves at the end comes in at the beginning."""
    return np.roll(actions, round(share * len(actions)))


def flip_coins(
    portfolio: Portfolio,
    places: Sequence[Ground],
    actions: Sequence[Actions],
    kind: Kind,
    *,
    draws: int,
    seed: int,
) -> CoinFlips | None:
    """Trade an agent's decisions at `draws` other moments and say where the agent stands among them.

    Args:
        portfolio: what the agent itself did.
        places: G grounds.
        actions: G arrays int8 [bars of the ground], what the agent decided.
        kind: of the agent.
        draws: number of moves.
        seed: seed of the moves.

    Returns:
        None where the agent never acts or `draws` is 0.
    """
    if draws == 0 or not any((mine != Action.HOLD).any() for mine in actions):
        return None
    shares = np.random.default_rng(seed).uniform(_NEAREST, 1.0 - _NEAREST, size=draws)
    found = np.array([_one_draw(places, actions, kind, float(share)) for share in shares])
    net = portfolio.trades["net_pnl"].to_numpy(dtype=np.float64)
    own_return = float(portfolio.equity[-1] / portfolio.equity[0] - 1.0)
    low, middle, high = np.quantile(found[:, 0], [0.05, 0.5, 0.95])
    return CoinFlips(
        draws=draws,
        return_percentile=percentile(own_return, found[:, 0]),
        win_rate_percentile=percentile(float(np.mean(net > 0)) if len(net) else float("nan"), found[:, 1]),
        return_quantiles=(float(low), float(middle), float(high)),
        mean_trades=float(np.mean(found[:, 2])),
    )


def percentile(own: float, others: Floats) -> float:
    """Share of `others` below `own`, ties counting half; NaN where either is undefined."""
    known = others[np.isfinite(others)]
    if len(known) == 0 or not np.isfinite(own):
        return float("nan")
    # A move that changes nothing differs by rounding only, and must count as a tie.
    tied = np.abs(known - own) <= 1e-12 * max(1.0, abs(own))
    return float(np.mean((known < own) & ~tied) + 0.5 * np.mean(tied))


def _one_draw(
    places: Sequence[Ground], actions: Sequence[Actions], kind: Kind, share: float
) -> tuple[float, float, float]:
    """Net return of the portfolio, win rate and number of trades of one move, the same for all symbols."""
    growth: dict[str, float] = {}
    profits = []
    for place, mine in zip(places, actions, strict=True):
        elsewhere = mine.copy()
        # Only among bars on which the agent was asked: elsewhere an action would be lost to a gap.
        elsewhere[place.asked] = moved(mine[place.asked], share)
        record = run_actions(place.market, elsewhere, place.rules.environment(kind), start=place.start)
        # The folds of a symbol are one account.
        growth[place.symbol] = growth.get(place.symbol, 1.0) * float(record.equity[-1] / record.equity[0])
        profits.append(records(record.closed, TRADE)["net_pnl"])
    net = np.concatenate(profits)
    rate = float(np.mean(net > 0)) if len(net) else float("nan")
    return float(np.mean(list(growth.values()))) - 1.0, rate, float(len(net))
