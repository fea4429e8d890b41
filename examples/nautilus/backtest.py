"""Backtest the strategy on bars of ours:

`python examples/nautilus/backtest.py data/BTCUSDT.parquet --run runs/perp --size 0.1`
"""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType, FundingRateUpdate
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Currency, Money, Price, Quantity
from quantum_trader_strategy import QuantumTraderConfig, QuantumTraderStrategy

from quantum_trader.envs import Bars, DataError, read_bars

NS_PER_MS = 1_000_000


def perpetual(name: str, *, price_precision: int, fee: Decimal) -> CryptoPerpetual:
    """A linear contract such as "BTCUSDT-PERP.BINANCE" with lots of 0.001."""
    identifier = InstrumentId.from_str(name)
    return CryptoPerpetual(
        instrument_id=identifier,
        raw_symbol=identifier.symbol,
        base_currency=Currency.from_str(identifier.symbol.value.split("USDT")[0]),
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=price_precision,
        size_precision=3,
        price_increment=Price(10**-price_precision, price_precision),
        size_increment=Quantity(0.001, 3),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=fee,
        taker_fee=fee,
    )


def hours(instrument: CryptoPerpetual) -> BarType:
    """Hourly bars of the last price, made outside of nautilus."""
    return BarType.from_str(f"{instrument.id}-1-HOUR-LAST-EXTERNAL")


def nautilus_bars(bars: Bars, instrument: CryptoPerpetual) -> list[Bar]:
    """Our bars, which are stamped at their open, as nautilus has them: stamped at their close."""
    columns = (bars.open, bars.high, bars.low, bars.close)
    closes = (bars.timestamp + bars.step_ms) * NS_PER_MS
    made = []
    for moment, volume, *prices in zip(closes.tolist(), bars.volume, *columns, strict=True):
        ohlc = (instrument.make_price(price) for price in prices)
        made.append(Bar(hours(instrument), *ohlc, instrument.make_qty(volume), moment, moment))
    return made


def funding_updates(bars: Bars, instrument: CryptoPerpetual) -> list[FundingRateUpdate]:
    """Each settlement's rate, announced a minute before."""
    made = []
    for row in np.flatnonzero(np.isfinite(bars.funding_rate)).tolist():
        settles = int(bars.timestamp[row]) * NS_PER_MS
        told = settles - 60_000 * NS_PER_MS
        rate = Decimal(str(float(bars.funding_rate[row])))
        made.append(FundingRateUpdate(instrument.id, rate, told, told, next_funding_ns=settles))
    return made


def engine_for(
    instrument: CryptoPerpetual, bars: Bars, *, balance: float, config: BacktestEngineConfig
) -> BacktestEngine:
    """A margin account at one venue, and the bars with their funding rates."""
    engine = BacktestEngine(config)
    engine.add_venue(
        venue=instrument.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(balance, USDT)],
        base_currency=USDT,
    )
    engine.add_instrument(instrument)
    engine.add_data(nautilus_bars(bars, instrument))
    updates = funding_updates(bars, instrument)
    if updates:
        engine.add_data(updates)
    return engine


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bars", type=Path, help="hourly bars, a file as `quantum-trader run --data` reads it")
    parser.add_argument("--run", required=True, help="folder of a finished run")
    parser.add_argument("--size", type=Decimal, default=Decimal("0.1"), help="base units of a position")
    parser.add_argument("--instrument", default="BTCUSDT-PERP.BINANCE")
    parser.add_argument("--price-precision", type=int, default=1, help="decimals of a price")
    parser.add_argument("--fee", type=Decimal, default=Decimal("0.0005"), help="fraction of the notional")
    given = parser.parse_args()
    try:
        bars = read_bars(given.bars)
    except DataError as error:
        parser.error(str(error))
    instrument = perpetual(given.instrument, price_precision=given.price_precision, fee=given.fee)
    config = BacktestEngineConfig(logging=LoggingConfig(log_level="ERROR"))
    engine = engine_for(instrument, bars, balance=100_000.0, config=config)
    wanted = QuantumTraderConfig(bar_type=hours(instrument), run=given.run, trade_size=given.size)
    engine.add_strategy(QuantumTraderStrategy(wanted))
    engine.run()
    print(engine.trader.generate_positions_report().to_string())
    print(engine.trader.generate_account_report(instrument.id.venue).tail(1).to_string())
    engine.dispose()


if __name__ == "__main__":
    main()
