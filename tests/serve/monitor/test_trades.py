from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.serve.monitor.table import UNKNOWN, Table
from quantum_trader.serve.monitor.trades import closed_trades

from .simulated import HOUR, START, Truth, simulate


def with_random_exits(seed: int) -> Table:
    table = simulate(Truth(bars=120, symbols=3, seed=seed))
    rng = np.random.default_rng(seed)
    exits = table.bar_ms[:, None] + HOUR * rng.integers(1, 12, size=(len(table), 2))
    number = np.arange(len(table), dtype=np.float64)
    net = np.stack([number, number + 0.5], axis=1)
    return replace(table, exit_ms=np.where(table.resolved[:, None], exits, UNKNOWN), net=net)


@pytest.mark.parametrize("seed", range(5))
def test_trades_are_those_of_a_plain_walk_in_time(seed: int) -> None:
    """A signal counts if no counted trade of its symbol is open; its column is that of its direction."""
    table = with_random_exits(seed)
    free = dict.fromkeys(range(3), 0)
    expected = []
    for row in range(len(table)):
        symbol, action = int(table.symbol.codes[row]), int(table.action[row])
        if action == 0 or not table.resolved[row] or table.bar_ms[row] < free[symbol]:
            continue
        free[symbol] = int(table.exit_ms[row, action - 1])
        expected.append(float(table.net[row, action - 1]))
    assert closed_trades(table, table.action).net.tolist() == expected


def test_a_trade_closed_within_a_bar_frees_the_decision_on_that_bar() -> None:
    """The decision is taken when the bar has closed; a trade of 4 bars leaves every fourth signal."""
    table = simulate(Truth(bars=40, symbols=1, hold=0.0, lasts=4))
    trades = closed_trades(table, table.action)
    assert ((trades.bar_ms - START) // HOUR).tolist() == list(range(0, 34, 4))


def test_without_outcomes_there_are_no_trades() -> None:
    """Open trades are no evidence, and an empty journal has none."""
    table = simulate(Truth(bars=6))
    assert len(closed_trades(table, table.action)) == 0
    nothing = table.where(np.zeros(0, dtype=np.int64))
    assert len(closed_trades(nothing, nothing.action)) == 0
