"""A freqtrade strategy that trades what the Arbiter says; README.md beside this file has the commands.

It enters at the open after a BUY or SELL and leaves by the rules the models learnt from: take-profit and
stop-loss at the labels' distance, the labels' horizon, or a decision for the other side, whichever comes
first.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from freqtrade.enums import TRADE_MODES
from freqtrade.exchange import timeframe_to_minutes, timeframe_to_msecs, timeframe_to_prev_date
from freqtrade.persistence import Trade
from freqtrade.strategy import IStrategy, stoploss_from_absolute
from pandas import DataFrame, Series, Timedelta

from quantum_trader.agents import load_arbiter
from quantum_trader.agents.self_check import self_check


class QuantumTraderStrategy(IStrategy):
    """Options, in the configuration under "quantum_trader": "run", the folder of a finished run, and
    "leverage". freqtrade reads them from the environment as well: FREQTRADE__QUANTUM_TRADER__RUN."""

    INTERFACE_VERSION = 3
    timeframe = "1h"  # that of the bars the models were trained on
    can_short = True
    process_only_new_candles = True
    startup_candle_count = 1_000  # the slowest average has then forgotten where it started
    ignore_buying_expired_candle_after = 600  # seconds: the labels enter at the open, not later in the bar
    use_exit_signal = True
    use_custom_stoploss = True
    use_custom_roi = True
    minimal_roi: dict[str, float] = {}  # noqa: RUF012 (freqtrade's own declaration)
    stoploss = -0.99  # never met: custom_stoploss puts the stop where it belongs as soon as the entry fills
    order_types = {  # noqa: RUF012
        "entry": "market",
        "exit": "market",
        "stoploss": "market",
        "stoploss_on_exchange": True,
    }

    def bot_start(self, **kwargs: Any) -> None:
        """Load the models once, and have them answer before anything depends on them."""
        options = {"run": "runs/demo", "leverage": 1.0} | self.config.get("quantum_trader", {})
        self.wanted_leverage = float(options["leverage"])
        self.step = timedelta(minutes=timeframe_to_minutes(self.timeframe))
        self.arbiter = load_arbiter(options["run"], step_ms=timeframe_to_msecs(self.timeframe))
        self_check(self.arbiter)

    def informative_pairs(self) -> list[tuple[str, str, str]]:
        """Funding rates, which are an input of the models."""
        timeframe = self.dp.get_funding_rate_timeframe()
        return [(pair, timeframe, "funding_rate") for pair in self.dp.current_whitelist()]

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """The Arbiter's decision at every candle's close, and what explains it."""
        pair = metadata["pair"]
        dataframe["funding_rate"] = dataframe["date"].map(self._settled_rates(pair))
        # Live, freqtrade acts on the newest candle alone; in a backtest on every one.
        last = 1 if self.dp.runmode in TRADE_MODES else None
        decisions = self.arbiter.decide_frame(dataframe, pair.split(":")[0].replace("/", ""), last=last)
        dataframe[decisions.columns] = decisions
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """BUY is a long, SELL is a short; the tag names the models that decided."""
        dataframe["enter_long"] = (dataframe["action"] == "BUY").astype(int)
        dataframe["enter_short"] = (dataframe["action"] == "SELL").astype(int)
        dataframe["enter_tag"] = dataframe["source"]
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        """A decision for the other side closes what is open."""
        dataframe["exit_long"] = dataframe["enter_short"]
        dataframe["exit_short"] = dataframe["enter_long"]
        return dataframe

    def confirm_trade_entry(
        self,
        pair: str,
        order_type: str,
        amount: float,
        rate: float,
        time_in_force: str,
        current_time: datetime,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> bool:
        """Not in the candle in which a trade was closed: a decision closes or opens, it does not reverse."""
        candle = timeframe_to_prev_date(self.timeframe, current_time)
        closed = Trade.get_trades_proxy(pair=pair, is_open=False, close_date=candle - timedelta(seconds=1))
        return not closed

    def leverage(
        self,
        pair: str,
        current_time: datetime,
        current_rate: float,
        proposed_leverage: float,
        max_leverage: float,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> float:
        """The leverage asked for, as far as the venue allows it."""
        return min(self.wanted_leverage, max_leverage)

    def custom_stoploss(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        after_fill: bool,
        **kwargs: Any,
    ) -> float | None:
        """Once, when the entry has filled: the labels' distance in ATRs of the candle decided on."""
        if not after_fill:
            return None
        frame, _ = self.dp.get_analyzed_dataframe(pair, self.timeframe)
        atr = frame.loc[frame["date"] < self._entered(trade), "atr"].dropna()
        if atr.empty:
            return None
        distance = self.arbiter.settings.barrier_atr * float(atr.iloc[-1])
        stop = trade.open_rate - _side(trade) * distance
        return stoploss_from_absolute(stop, current_rate, is_short=trade.is_short, leverage=trade.leverage)

    def custom_roi(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        trade_duration: int,
        entry_tag: str | None,
        side: str,
        **kwargs: Any,
    ) -> float | None:
        """The target lies as far from the entry as the stop; costs included, as freqtrade reckons."""
        return trade.calc_profit_ratio(2.0 * trade.open_rate - trade.stop_loss)

    def custom_exit(
        self,
        pair: str,
        trade: Trade,
        current_time: datetime,
        current_rate: float,
        current_profit: float,
        **kwargs: Any,
    ) -> str | None:
        """The labels' horizon; and at the open, if that is past the stop already."""
        if current_time - self._entered(trade) >= self.arbiter.settings.horizon_bars * self.step:
            return "max_holding"
        past_stop = _side(trade) * (current_rate - trade.stop_loss) <= 0.0
        return "stop_loss_at_open" if past_stop else None

    def _entered(self, trade: Trade) -> datetime:
        """Open of the candle in which the trade was entered; live, that is seconds before the fill."""
        return timeframe_to_prev_date(self.timeframe, trade.open_date_utc)

    def _settled_rates(self, pair: str) -> Series:
        """Funding rate by the open of the candle at which it settled; empty where none is known."""
        funding = self.dp.get_pair_dataframe(pair, self.dp.get_funding_rate_timeframe(), "funding_rate")
        if funding.empty:
            return Series(dtype=float)
        moments = funding["date"].dt.floor(Timedelta(self.step))  # venues settle some milliseconds late
        rates = funding["funding_rate" if "funding_rate" in funding else "open"]
        return Series(rates.to_numpy(), index=moments).groupby(level=0).last()


def _side(trade: Trade) -> int:
    return -1 if trade.is_short else 1
