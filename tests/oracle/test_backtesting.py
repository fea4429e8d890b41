"""backtesting.py is given the same orders and has to end every bar with the same equity.

Both fill market orders at the next open, both assume a stop-loss before a take-profit inside a bar, and both
fill one that the open gapped past at the open. backtesting.py trades whole units and closes the oldest lot
first, while we keep an average entry price: that moves profit between trades, never equity. Its commission
does not know which side an order is on, so fee and slippage are compared one at a time: without a fee,
slippage is a commission. It has no funding, no isolated margin and no liquidation: no case here comes near
one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs import EnvConfig, FuturesContract, Market, Record, run_actions

engine = pytest.importorskip("backtesting", exc_type=ImportError)

Floats = NDArray[np.float64]

RELATIVE = 1e-9
BARS = 3_000
BALANCE = 500_000_000.0  # makes one whole unit a small share of a position
FEE = FuturesContract(name="fee", taker_fee=0.0002, slippage=0.0, lot_size=1.0)
COMMISSION = FuturesContract(
    name="commission", taker_fee=0.0001, slippage=0.0, commission=2.25, contract_size=50.0, lot_size=50.0
)
SLIPPAGE = FuturesContract(name="slippage", taker_fee=0.0, slippage=0.0002, lot_size=1.0)
EXITS = ("stop_loss", "take_profit")


@dataclass(frozen=True)
class Script:
    """Per bar: signed whole units to trade at its open; stop and target that the order carries, or NaN."""

    orders: Floats
    stops: Floats
    targets: Floats


class _Scripted(engine.Strategy):
    """Sends each order during the bar before the one that fills it."""

    script: Script = Script(np.zeros(0), np.zeros(0), np.zeros(0))

    def init(self) -> None: ...

    def next(self) -> None:
        due = len(self.data)
        if due == len(self.script.orders) or self.script.orders[due] == 0.0:
            return
        size = int(self.script.orders[due])
        exits = {"sl": self.script.stops[due], "tp": self.script.targets[due]}
        placed = {name: price for name, price in exits.items() if np.isfinite(price)}
        (self.buy if size > 0 else self.sell)(size=abs(size), **placed)
        # The engine goes through a bar's stops before the orders that fill at its open, if they are older.
        queue = self._broker.orders
        queue.insert(0, queue.pop())


def their_equity(market: Market, script: Script) -> tuple[Floats, pd.DataFrame]:
    """float64 [T], equity at every close, and the closed trades."""
    bars = market.bars
    data = pd.DataFrame(
        {name.capitalize(): getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(bars.timestamp, unit="ms"),
    )
    contract = market.contract
    rate, fixed = contract.taker_fee + contract.slippage, contract.commission / contract.contract_size

    def commission(size: float, price: float) -> float:
        return abs(size) * (price * rate + fixed)

    # The engine checks margin only where an order opens something, and this much leverage passes always:
    # what the account can afford has been decided already by the orders that it is given.
    test = engine.Backtest(data, _Scripted, cash=BALANCE, commission=commission, margin=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # an order that the engine cancels
        warnings.filterwarnings("ignore", message="Some trades remain open")
        warnings.simplefilter("ignore", RuntimeWarning)  # its ratios divide by zero
        result = test.run(script=script)
    return result["_equity_curve"]["Equity"].to_numpy(), result["_trades"]


def script_of(market: Market, record: Record, config: EnvConfig) -> Script:
    """The orders that our account carried out; its stops and targets only as levels, never as exits."""
    position, trades = record.position, record.trades()
    orders = np.diff(position, prepend=0.0)
    # A target that the open is past fills first of all. The engine would look at the bar's stop before it, so
    # such an exit is an order.
    opened = market.bars.open[trades.exit_bar] * (1.0 - trades.side * market.contract.slippage)
    first = (trades.exit_reason == "take_profit") & np.isclose(
        trades.exit_price, opened, rtol=1e-12, atol=0.0
    )
    left_to_engine = trades[trades.exit_reason.isin(EXITS) & ~first]
    np.add.at(orders, left_to_engine.exit_bar, left_to_engine.side * left_to_engine.quantity)
    # A partial close leaves quantity x (1 - share): whole lots but for the last bit.
    np.testing.assert_allclose(orders, np.rint(orders), rtol=0.0, atol=1e-6)
    orders = np.rint(orders)
    stops, targets = np.full(len(orders), np.nan), np.full(len(orders), np.nan)
    stop = target = np.nan
    for bar in np.flatnonzero(orders):
        before, after = position[bar - 1], position[bar - 1] + orders[bar]
        side = np.sign(orders[bar])
        if after * side <= 0.0:
            continue  # it only closes
        if before * side <= 0.0:
            fill, reach = market.bars.open[bar], side * market.atr[bar - 1]
            fill *= 1.0 + side * market.contract.slippage
            stop, target = fill - config.stop_loss_atr * reach, fill + config.take_profit_atr * reach
        stops[bar] = stop if config.stop_loss_atr else np.nan
        targets[bar] = target if config.take_profit_atr else np.nan
    return Script(orders, stops, targets)


CASES: dict[str, dict[str, Any]] = {
    "order": {"max_units": 3, "leverage": 5.0},
    "target": {"actions": "target", "max_units": 4, "leverage": 3.0},
    "continuous": {"actions": "continuous", "leverage": 8.0},
    "delayed": {"actions": "target", "max_units": 2, "leverage": 2.0, "delay_bars": 2},
    "held": {"actions": "target", "max_units": 2, "leverage": 4.0, "max_holding_bars": 5},
    "exits": {"max_units": 3, "leverage": 4.0, "stop_loss_atr": 1.5, "take_profit_atr": 2.0},
    "near exits": {"max_units": 2, "leverage": 2.0, "stop_loss_atr": 0.7, "take_profit_atr": 0.6},
}


@pytest.mark.parametrize("contract", [FEE, COMMISSION, SLIPPAGE], ids=lambda contract: contract.name)
@pytest.mark.parametrize("case", CASES)
def test_equity_is_that_of_backtesting_py(
    case: str,
    contract: FuturesContract,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """Given the same orders, backtesting.py has our equity at every close, whatever closes a position."""
    config = EnvConfig(window=1, initial_balance=BALANCE, equity_floor=0.0, **CASES[case])
    for seed in range(4):
        market = make_market(make_frame(seed, BARS, volatility=0.002, gap=0.0003), contract)
        record = run_actions(market, make_actions(seed, BARS, config), config, flatten=False)
        assert record.liquidations == 0
        assert record.first == 0
        script = script_of(market, record, config)
        theirs, trades = their_equity(market, script)
        np.testing.assert_allclose(record.equity, theirs, rtol=RELATIVE)
        _nothing_untested(record, script, config, trades)


def _nothing_untested(record: Record, script: Script, config: EnvConfig, trades: pd.DataFrame) -> None:
    """Enough of everything that the case is about has happened."""
    ours, position = record.trades(), record.position
    assert len(np.flatnonzero(script.orders)) > BARS / 10
    assert position.max() > 0.0 > position.min()
    assert {"order", "reverse"} & set(ours.exit_reason)
    if config.stop_loss_atr:
        assert ours.exit_reason.isin(EXITS).sum() > 100
    if config.max_holding_bars:
        assert (ours.exit_reason == "max_holding").sum() > 50
    assert trades.Size.min() < 0 < trades.Size.max()
