"""Our bars (parquet or CSV) as the candle files that freqtrade's backtester reads:

`python examples/freqtrade/convert.py data/BTCUSDT.parquet BTC/USDT:USDT user_data/data/binance`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from freqtrade.data.history import get_datahandler
from freqtrade.enums import CandleType

from quantum_trader.envs import Bars, DataError, read_bars

PRICES = ("open", "high", "low", "close")


def convert(bars: Bars, pair: str, folder: Path) -> None:
    """Write the last prices, the mark prices and the funding rates of one pair.

    Args:
        bars: of one instrument.
        pair: freqtrade's name of it, such as "BTC/USDT:USDT".
        folder: freqtrade's data folder of the exchange, such as user_data/data/binance.
    """
    frame = bars.to_frame().rename(columns={"timestamp": "date"})
    marks = frame.assign(**{name: frame[f"mark_{name}"] for name in PRICES}, volume=0.0)
    settled = frame.loc[np.isfinite(frame["funding_rate"]), ["date", "funding_rate"]]
    timeframe = f"{bars.step_ms // 3_600_000}h" if bars.step_ms >= 3_600_000 else f"{bars.step_ms // 60_000}m"
    columns = ["date", *PRICES, "volume"]
    (folder / "futures").mkdir(parents=True, exist_ok=True)
    handler = get_datahandler(folder, "feather")
    handler.ohlcv_store(pair, timeframe, frame[columns], CandleType.FUTURES)
    # freqtrade looks for these two under "1h", whatever the strategy's timeframe.
    handler.ohlcv_store(pair, "1h", _hourly(marks[columns]), CandleType.MARK)
    handler.ohlcv_store(pair, "1h", settled.reset_index(drop=True), CandleType.FUNDING_RATE)


def _hourly(candles: pd.DataFrame) -> pd.DataFrame:
    """One candle an hour: settlements look up the mark price of their hour."""
    merged = (
        candles.set_index("date")
        .resample("1h")
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    )
    return merged.dropna().reset_index()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bars", type=Path, help="a file as `quantum-trader run --data` reads it")
    parser.add_argument("pair", help='such as "BTC/USDT:USDT"')
    parser.add_argument("folder", type=Path, help="such as user_data/data/binance")
    given = parser.parse_args()
    if "/" not in given.pair or ":" not in given.pair:  # freqtrade would never look for the files
        parser.error(f'{given.pair}: expected freqtrade\'s name of a perpetual, such as "BTC/USDT:USDT".')
    try:
        bars = read_bars(given.bars)
    except DataError as error:
        parser.error(str(error))
    convert(bars, given.pair, given.folder)
    print(f"{given.pair}: {len(bars):,} candles in {given.folder}")


if __name__ == "__main__":
    main()
