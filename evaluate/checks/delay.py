"""Does an edge survive one bar of delay? What lives inside the bar of the fill alone is a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.evaluate.backtest import (
    Actions,
    BacktestConfig,
    BacktestResult,
    Ground,
    grounds,
    pool,
    spread,
    trade,
)
from quantum_trader.evaluate.bootstrap import BootstrapConfig, mean_interval
from quantum_trader.evaluate.records import CheckResult
from quantum_trader.evaluate.trading_metrics import log_returns
from quantum_trader.train.dataset import PooledDataset

Floats = NDArray[np.float64]
TradeOne = Callable[[str, Ground, Actions, EnvConfig], BacktestResult]
"""Trades one action per bar of a ground; `backtest.trade` or something to be checked instead."""

DELAYS = (0, 1, 2)
KEPT = 0.5
"""Share of an edge that must be left after one bar of delay."""


def delay_is_smooth(
    test: PooledDataset,
    actions: Actions,
    rules: BacktestConfig,
    trade: TradeOne = trade,
    *,
    kept: float = KEPT,
    config: BootstrapConfig | None = None,
) -> CheckResult:
    """Whether an edge decays with delay instead of falling off a cliff.

    The same decisions are traded without costs, filled 0, 1 and 2 bars later than usual. With g0 and g1 the
    mean log return of a bar without delay and with one bar of it, a cliff is: g0 lies above zero, and g1 lies
    below `kept` x g0, both with their whole bootstrap intervals (g1 - kept x g0 is resampled in pairs).

    A backtest that fills inside the bar the decision was taken on, or an agent that knows the next bar, earns
    that one bar and nothing after it: g1 is about zero. An edge over a horizon of h bars keeps about
    1 - 1 / h of itself; an agent without an edge has none to lose and passes.

    Two limits. An honest edge that lives for a single bar looks like a fault here, and has to be cleared by
    `same_bar_fill` and `no_look_ahead`. A fault beside an honest edge of its size may keep half, and pass.

    Args:
        test: N rows.
        actions: int8 [N], `Action` values decided on them.
        rules: how decisions become trades; costs and delay are replaced.
        trade: trades a symbol.
        kept: share of the edge that must be left.
        config: how intervals are drawn; None takes blocks of twice the horizon.
    """
    block = 2.0 * rules.horizon_bars
    config = config if config is not None else BootstrapConfig(block_bars=max(24.0, block), draws=1_000)
    gains = [_log_returns(test, actions, rules, delay, trade) for delay in DELAYS]
    edge = mean_interval(gains[0], config=config)
    left = mean_interval(gains[1] - kept * gains[0], config=config)
    cliff = edge.above_zero and left.below_zero
    totals = ", ".join(f"{gain.sum():+.3f}" for gain in gains)
    if not edge.above_zero:
        verdict = "no edge to lose"
    else:
        verdict = f"one bar of delay leaves {gains[1].sum() / gains[0].sum():.0%} of the edge"
    return CheckResult(
        name="delay_is_smooth",
        question="Does an edge decay with delay instead of vanishing with the first bar of it?",
        passed=not cliff,
        detail=f"Log return without costs at delays of 0, 1, 2 bars: {totals}; {verdict}.",
    )


def _log_returns(
    test: PooledDataset, actions: Actions, rules: BacktestConfig, delay: int, trade: TradeOne
) -> Floats:
    """float64 [n - 1]: log returns of the portfolio without costs."""
    places = grounds(test, rules)
    environment = replace(rules, cost_multiplier=0.0, delay_bars=delay).environment("signal")
    laid = spread(test, actions, places)
    results = [trade("delayed", place, mine, environment) for place, mine in zip(places, laid, strict=True)]
    return log_returns(pool(results).equity)
