"""`Track`: one symbol of a live session, its account and what is known of its feed."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from quantum_trader.agents.decision import Decision
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.envs.sources.timeframes import HOUR_MS
from quantum_trader.serve.journal.records import Entry
from quantum_trader.serve.live.book import EquityPoint
from quantum_trader.serve.live.feed import MarkedBar

_REMEMBERED = 12
"""States kept for bars without funding. One costs 4 KB; older ones are made again from the journal."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A decision as the account carries it out at the next bar."""

    bar_ms: int
    """Open of the bar decided on."""
    action: Action
    atr: float
    """At the close of that bar; NaN in warm-up."""


@dataclass(kw_only=True)
class Track:
    """What a session keeps of one symbol.

    Attributes:
        symbol: its name.
        account: stands at `last_ms`.
        last_ms: open of the newest bar taken in; None before the warm-up.
        order: the decision on that bar; None where there is none.
        decision: the newest one, for the status.
        waiting: bars that were fetched and not decided on yet.
        points: equity at bars that are not in the book yet.
        since_ms: open of the first bar last asked for.
        next_try_ms: do not ask before, by the venue's clock; 0 where nothing went wrong.
        failures: attempts in a row that failed.
        empty: attempts in a row that found no new bar although one was due.
        error: why the last attempt failed; empty where it did not.
        failing_since_ms: of the first of these failures.
        doubted_ms: first bar after a hole that was asked for twice.
        decided: bars decided on in this run.
        left_out: bars that the venue sent and that cannot be right.
        unmarked_ms: newest bar that was asked for twice for want of a mark price.
        unmarked: bars of this run that the account met with the last price in place of a mark price.
        missing: why the newest of them had none; empty where the newest bar has one.
        turned_away: times in a row that the venue refused to serve this place.
        checked: moments of settlements that the account has met.
        before: the account before the newest bars on which funding may still be booked, by the bars' opens.
    """

    symbol: str
    account: PaperAccount
    last_ms: int | None = None
    order: Order | None = None
    decision: Decision | None = None
    waiting: deque[Bar] = field(default_factory=deque)
    points: list[EquityPoint] = field(default_factory=list)
    since_ms: int = 0
    next_try_ms: int = 0
    failures: int = 0
    empty: int = 0
    error: str = ""
    failing_since_ms: int = 0
    doubted_ms: int | None = None
    decided: int = 0
    left_out: int = 0
    unmarked_ms: int | None = None
    unmarked: int = 0
    missing: str = ""
    turned_away: int = 0
    before: dict[int, str] = field(default_factory=dict)
    checked: set[int] = field(default_factory=set)

    @property
    def newest_ms(self) -> int | None:
        """Open of the newest bar known, waiting ones included."""
        return self.waiting[-1].timestamp if self.waiting else self.last_ms

    def begin(self, past: Sequence[Bar]) -> None:
        """Let the account start at the newest bar of a warm-up.

        Raises:
            ConfigError: a position would be smaller than one lot: it would never trade.
        """
        config, contract = self.account.config, self.account.contract
        unit = config.leverage * config.initial_balance / config.max_units
        lot = contract.lot_size * past[-1].close
        if lot > unit:
            raise ConfigError(
                f"{self.symbol}: a position is worth {unit:,.2f}, less than one lot, {lot:,.2f}, of "
                f"{contract.name}; raise --initial-balance or --leverage and use another folder."
            )
        self.account.warm(past[-1])
        self.last_ms = past[-1].timestamp

    def step(self, bar: Bar) -> None:
        """Let the account meet the next bar with the decision taken before it."""
        mark = bar.mark if isinstance(bar, MarkedBar) else None
        self._remember(bar)
        if self.order is None or self.order.bar_ms != self.account.last_timestamp:
            self.account.step(None, bar, mark=mark)
        else:
            self.account.step(float(self.order.action), bar, atr=self.order.atr, mark=mark)
        self.points.append(
            EquityPoint(bar_ms=bar.timestamp, equity=self.account.equity, position=self.account.position)
        )
        self.last_ms = bar.timestamp

    def _remember(self, bar: Bar) -> None:
        """Keep the account as it is before a bar whose funding may be published later."""
        if not self.account.contract.has_funding or not math.isnan(bar.funding_rate):
            return
        if bar.timestamp % HOUR_MS and self.account.step_ms <= HOUR_MS:  # funding settles on whole hours
            return
        self.before[bar.timestamp] = json.dumps(self.account.state(), allow_nan=False)
        while len(self.before) > _REMEMBERED:
            del self.before[next(iter(self.before))]


def order_of(source: Entry | Decision, bar_ms: int) -> Order:
    """What a decision, fresh or from the journal, asks the account to do."""
    atr = source.atr
    return Order(bar_ms=bar_ms, action=source.action, atr=math.nan if atr is None else atr)
