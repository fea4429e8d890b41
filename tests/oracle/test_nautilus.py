"""NautilusTrader trades the same quantities at the same quotes; its equity has to be ours at every close.

Its venue nets positions on a margin account. At each open it sees a bid and an ask that lie the slippage
below and above the open, rounded to the tick; at each close, both are the close. It takes a fee from every
fill and keeps an average entry price, as we do. Its money has eight decimals: prices of two, quantities of
two and a fee of four make every fee exact, and the profit of a closing fill is rounded once, by at most half
of 1e-8. A thousand fills move an equity of 100,000 by 5e-6 at most, which is 5e-11 of it. It simulates
neither funding nor liquidation.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs import EnvConfig, FuturesContract, Market, run_actions

pytest.importorskip("nautilus_trader", exc_type=ImportError)

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

Floats = NDArray[np.float64]

RELATIVE = 5e-11
BARS = 1_500
BALANCE = 1_000_000.0
DEPTH = 1_000_000_000
HALF_HOUR_MS, NS_PER_MS = 1_800_000, 1_000_000
PAIR = InstrumentId(Symbol("TEST-PERP"), Venue("TEST"))
CONTRACT = FuturesContract(name="perp", taker_fee=0.0005, slippage=0.0003, tick_size=0.01, lot_size=0.01)


class _Scripted(Strategy):
    """Trades bar i's quantity at its first quote and notes the equity at its second."""

    def __init__(self, orders: Floats) -> None:
        super().__init__()
        self._orders = orders
        self._seen = 0
        self.equity: list[float] = []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(PAIR)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        bar, at_close = divmod(self._seen, 2)
        self._seen += 1
        if at_close:
            profit = self.portfolio.unrealized_pnl(PAIR)
            balance = self.portfolio.account(PAIR.venue).balance_total(USDT)
            self.equity.append(balance.as_double() + profit.as_double())
        elif self._orders[bar] != 0.0:
            side = OrderSide.BUY if self._orders[bar] > 0.0 else OrderSide.SELL
            quantity = Quantity(abs(self._orders[bar]), precision=2)
            self.submit_order(self.order_factory.market(PAIR, side, quantity))


def quotes(market: Market) -> list[QuoteTick]:
    """Two quotes a bar: the open with a spread of twice the slippage, then the close without one.

    No quote may be of 1970-01-01 00:00: version 1.221 ends the whole process at a time of 0.
    """
    depth, bars = Quantity(DEPTH, precision=2), market.bars
    ticks = []
    for moment, opened, closed in zip(bars.timestamp.tolist(), bars.open, bars.close, strict=True):
        for late, price, spread in ((0, opened, CONTRACT.slippage), (HALF_HOUR_MS, closed, 0.0)):
            bid, ask = (_at(price, 1 + side * Decimal(str(spread))) for side in (-1, 1))
            ticks.append(QuoteTick(PAIR, bid, ask, depth, depth, *2 * [(moment + late) * NS_PER_MS]))
    return ticks


def _at(price: float, factor: Decimal) -> Price:
    """In decimal numbers, so that rounding to the tick is another calculation than ours."""
    exact = Decimal(f"{price:.2f}") * factor
    return Price.from_str(str(exact.quantize(Decimal("0.01"), ROUND_HALF_UP)))


def perpetual() -> CryptoPerpetual:
    """A linear contract with our tick, lot and fee; margins so small that none is ever short."""
    return CryptoPerpetual(
        instrument_id=PAIR,
        raw_symbol=PAIR.symbol,
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=2,
        size_precision=2,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.01"),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal("0.0001"),
        margin_maint=Decimal("0.0001"),
        maker_fee=Decimal("0"),
        taker_fee=Decimal(str(CONTRACT.taker_fee)),
    )


def their_equity(market: Market, orders: Floats) -> tuple[Floats, Any]:
    """float64 [T], equity at every close, and the report of fills."""
    logging = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(BacktestEngineConfig(logging=logging, risk_engine=RiskEngineConfig(bypass=True)))
    try:
        engine.add_venue(
            venue=PAIR.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            starting_balances=[Money(BALANCE, USDT)],
            base_currency=USDT,
            default_leverage=Decimal(100),
        )
        engine.add_instrument(perpetual())
        engine.add_data(quotes(market))
        strategy = _Scripted(orders)
        engine.add_strategy(strategy)
        engine.run()
        return np.array(strategy.equity), engine.trader.generate_order_fills_report()
    finally:
        engine.dispose()


CASES: dict[str, dict[str, Any]] = {
    "order": {"max_units": 3, "leverage": 5.0},
    "target": {"actions": "target", "max_units": 4, "leverage": 3.0},
    "continuous": {"actions": "continuous", "leverage": 6.0},
    "delayed": {"actions": "target", "max_units": 2, "leverage": 2.0, "delay_bars": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_equity_is_that_of_nautilus(
    case: str,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """Given the same quantities, NautilusTrader has our equity at every close, fees and slippage together."""
    config = EnvConfig(window=1, initial_balance=BALANCE, equity_floor=0.0, **CASES[case])
    for seed in range(2):
        market = make_market(make_frame(seed, BARS, volatility=0.002, gap=0.0005), CONTRACT)
        record = run_actions(market, make_actions(seed, BARS, config), config, flatten=False)
        assert record.liquidations == 0
        orders = np.diff(record.position, prepend=0.0)
        np.testing.assert_allclose(orders, orders.round(2), rtol=0.0, atol=1e-8)
        theirs, fills = their_equity(market, orders.round(2))
        np.testing.assert_allclose(record.equity, theirs, rtol=RELATIVE)
        assert len(fills) == np.count_nonzero(orders.round(2)) > BARS / 5
        assert record.position.max() > 0.0 > record.position.min()
