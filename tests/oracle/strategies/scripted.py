"""The strategy that freqtrade loads: it does what the columns of its candles say."""

from __future__ import annotations

from typing import Any

import pandas as pd
from freqtrade.strategy import IStrategy


class Scripted(IStrategy):
    """Columns enter_long, exit_long, enter_short and exit_short are signals on the candle before the fill."""

    INTERFACE_VERSION = 3
    timeframe = "1h"
    can_short = True
    minimal_roi: dict[str, float] = {}  # noqa: RUF012
    stoploss = -1_000.0  # never: nothing but a signal or a liquidation closes a trade
    startup_candle_count = 0
    asked_leverage = 1.0
    stakes: dict[pd.Timestamp, float] = {}  # noqa: RUF012

    def populate_indicators(self, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        return dataframe

    def populate_exit_trend(self, dataframe: pd.DataFrame, metadata: dict[str, Any]) -> pd.DataFrame:
        return dataframe

    def leverage(self, *arguments: Any, **named: Any) -> float:
        return self.asked_leverage

    def custom_stake_amount(self, current_time: pd.Timestamp, **named: Any) -> float:
        return self.stakes[pd.Timestamp(current_time)]
