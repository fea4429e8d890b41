"""A NautilusTrader strategy that trades what the Arbiter says; README.md beside this file has the commands.

It enters after a BUY or SELL and leaves by the rules the models learnt from: take-profit and stop-loss at the
labels' distance, the labels' horizon, or a decision for the other side, whichever comes first.
"""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.config import PositiveInt, StrategyConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.data import Bar, BarType, FundingRateUpdate
from nautilus_trader.model.enums import OrderSide, OrderType
from nautilus_trader.model.events import OrderDenied, OrderEvent, OrderRejected, PositionClosed, PositionEvent
from nautilus_trader.model.position import Position
from nautilus_trader.trading.strategy import Strategy

from quantum_trader.agents import Decision, load_arbiter
from quantum_trader.agents.self_check import self_check
from quantum_trader.envs import DataError
from quantum_trader.envs.actions import Action


class QuantumTraderConfig(StrategyConfig, frozen=True, kw_only=True):
    """What to trade, and by which models."""

    bar_type: BarType
    """Bars to decide on, stamped at their close as nautilus does; as long as those of training."""
    run: str
    """Folder of a finished run."""
    trade_size: Decimal
    """Quantity of every position, base units."""
    warmup_bars: PositiveInt = 1_000
    """Bars asked for at the start; with 1,000 the slowest average has forgotten where it started."""
    funding_rates: bool = True
    """Subscribe to funding rates, an input of the models; False where the adapter has none."""
    close_on_stop: bool = False
    """Close the position when the strategy stops; False leaves it to its stop-loss and take-profit."""


class QuantumTraderStrategy(Strategy):
    """One position at a time in one instrument.

    `save` and `load` keep the Arbiter's histories and what the open position needs, so that decisions after a
    restart are those of a bot that never stopped.
    """

    def __init__(self, config: QuantumTraderConfig) -> None:
        super().__init__(config)
        self.instrument_id = config.bar_type.instrument_id
        self.symbol = self.instrument_id.symbol.value
        self.step_ms = round(config.bar_type.spec.timedelta.total_seconds() * 1_000)
        self.on_reset()

    def on_reset(self) -> None:
        """Fresh histories: a second backtest starts in the past again."""
        self.arbiter = load_arbiter(self.config.run, step_ms=self.step_ms)
        self_check(self.arbiter)
        self.reach = math.nan  # distance of its stop and its target, in price
        self._rates: dict[int, float] = {}  # funding rates announced, by the moment they settle
        self._waiting: list[Bar] = []
        self._warm = False

    def on_start(self) -> None:
        """Ask for history first; bars that close meanwhile wait for it."""
        self.instrument = self.cache.instrument(self.instrument_id)
        if self.instrument is None:
            self.log.error(f"There is no instrument {self.instrument_id}; add it to the venue's.")
            self.stop()
            return
        for problem in self.arbiter.problems:
            self.log.warning(problem)
        self._warm = False
        past = timedelta(milliseconds=self.step_ms * self.config.warmup_bars)
        start = self.clock.utc_now() - past
        self.request_bars(self.config.bar_type, start=start, callback=self._on_history)
        self.subscribe_bars(self.config.bar_type)
        if self.config.funding_rates:
            self.subscribe_funding_rates(self.instrument_id)

    def on_historical_data(self, data: Any) -> None:
        """A bar of the warm-up; those that a loaded state knows already are passed over."""
        if not isinstance(data, Bar) or data.ts_event > self.clock.timestamp_ns():
            return
        try:
            self.arbiter.add_to_history(self.symbol, self._bar(data))
        except DataError as error:
            self.log.warning(str(error))

    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """The last rate announced for a settlement is the one that settles."""
        if funding_rate.next_funding_ns:
            self._rates[_whole_seconds_ms(funding_rate.next_funding_ns)] = float(funding_rate.rate)

    def on_bar(self, bar: Bar) -> None:
        """Decide at every close; where no history came within a bar, go on without it."""
        self._waiting.append(bar)
        if self._warm or len(self._waiting) > 1:
            self._decide_waiting()

    def on_decision(self, decision: Decision) -> None:
        """Called with every decision; override it to record or send them."""
        self.log.info(
            f"{decision.action.name} {decision.confidence:.3f} {decision.source}: {decision.reason}"
        )

    def on_position_event(self, event: PositionEvent) -> None:
        """Stop and target follow the entry's fill; what is left of them goes with the position."""
        if isinstance(event, PositionClosed):
            self.cancel_all_orders(self.instrument_id)
        else:
            self._protect(self.cache.position(event.position_id))

    def on_order_event(self, event: OrderEvent) -> None:
        """A position whose stop the venue refuses is closed at once."""
        if isinstance(event, OrderRejected | OrderDenied):
            order = self.cache.order(event.client_order_id)
            if order.order_type == OrderType.STOP_MARKET:
                self.log.error(f"The stop-loss was refused ({event.reason}); the position is closed.")
                self.close_all_positions(self.instrument_id)

    def on_stop(self) -> None:
        """Leave the position to its stop and target, or close it."""
        if self.config.close_on_stop:
            self.cancel_all_orders(self.instrument_id)
            self.close_all_positions(self.instrument_id)

    def on_save(self) -> dict[str, bytes]:
        """The histories, the distance of the open position's exits, and the funding rates announced."""
        rest = {"reach": self.reach, "rates": list(self._rates.items())}
        return {"arbiter": self.arbiter.snapshot(), "rest": json.dumps(rest).encode()}

    def on_load(self, state: dict[str, bytes]) -> None:
        """Go on where `on_save` left off; bars that closed in between come with the warm-up."""
        self.arbiter.restore(state["arbiter"])
        rest = json.loads(state["rest"])
        self.reach, self._rates = rest["reach"], dict(rest["rates"])

    def _on_history(self, request_id: UUID4) -> None:
        self._warm = True
        self._decide_waiting()

    def _decide_waiting(self) -> None:
        """Decide on every bar that waits, and trade on the newest."""
        waiting, self._waiting = self._waiting, []
        for bar in waiting:
            decision = self.arbiter.decide(self.symbol, self._bar(bar))
            self.on_decision(decision)
        if waiting:
            self._trade(decision, self._open_ms(waiting[-1]) + self.step_ms)

    def _trade(self, decision: Decision, next_open_ms: int) -> None:
        """One decision opens a position or closes one, never both."""
        positions = self.cache.positions_open(instrument_id=self.instrument_id, strategy_id=self.id)
        if positions:
            entered_ms = _whole_seconds_ms(positions[0].ts_opened) // self.step_ms * self.step_ms
            held = (next_open_ms - entered_ms) // self.step_ms
            against = Action.SELL if positions[0].is_long else Action.BUY
            if decision.action == against or held >= self.arbiter.settings.horizon_bars:
                self.cancel_all_orders(self.instrument_id)
                self.close_position(positions[0])
            else:
                self._protect(positions[0])
        elif decision.action != Action.HOLD and decision.atr is not None:
            self.reach = self.arbiter.settings.barrier_atr * decision.atr
            side = OrderSide.BUY if decision.action == Action.BUY else OrderSide.SELL
            quantity = self.instrument.make_qty(self.config.trade_size)
            self.submit_order(self.order_factory.market(self.instrument_id, side, quantity))

    def _protect(self, position: Position) -> None:
        """Stop and target at the labels' distance from the fill, unless they are there or it still fills."""
        mine = {"instrument_id": self.instrument_id, "strategy_id": self.id}
        if self.cache.orders_open(**mine) or self.cache.orders_inflight(**mine) or math.isnan(self.reach):
            return
        side, leave = (1, OrderSide.SELL) if position.is_long else (-1, OrderSide.BUY)
        stop = self.instrument.make_price(position.avg_px_open - side * self.reach)
        target = self.instrument.make_price(position.avg_px_open + side * self.reach)
        make = self.order_factory
        fixed = (self.instrument_id, leave, position.quantity)
        self.submit_order(make.stop_market(*fixed, trigger_price=stop, reduce_only=True, tags=["stop_loss"]))
        self.submit_order(make.limit(*fixed, price=target, reduce_only=True, tags=["take_profit"]))

    def _bar(self, bar: Bar) -> dict[str, Any]:
        """The bar as the Arbiter takes it, stamped at its open."""
        opened = self._open_ms(bar)
        rate = self._rates.get(opened, math.nan)
        self._rates = {moment: value for moment, value in self._rates.items() if moment > opened}
        names = ("open", "high", "low", "close", "volume")
        # By way of their text: float(Price) is off by one unit in the last place now and then.
        numbers = {name: float(str(getattr(bar, name))) for name in names}
        return {"timestamp": opened, "funding_rate": rate, **numbers}

    def _open_ms(self, bar: Bar) -> int:
        """Some venues end a bar a millisecond before the next one opens."""
        return _whole_seconds_ms(bar.ts_event) - self.step_ms


def _whole_seconds_ms(nanoseconds: int) -> int:
    return round(nanoseconds / 1e9) * 1_000
