"""`PaperAccount`: the environments' account for one symbol, fed bar by bar by a live loop or a bot."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from quantum_trader.envs.account import account_step
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.batch import open_accounts
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.joined import check_contract, rule_matrix
from quantum_trader.envs.layout import (
    ACCOUNT,
    QUOTE,
    RULES,
    START,
    TRADE_LOG,
    Account,
    Matrix,
    matrix,
    records,
)
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.envs.paper_log import (
    PaperFill,
    PaperLog,
    PaperTrade,
    paper_fills_frame,
    paper_trades_frame,
)
from quantum_trader.envs.paper_state import PaperState, read_state, write_state
from quantum_trader.envs.quotes import put_prices
from quantum_trader.envs.records import INFO_FIELDS
from quantum_trader.envs.windows import is_break

_FIRST = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The mark price of one bar, quote currency: funding, liquidation and unrealised profit go by it."""

    open: float
    high: float
    low: float
    close: float


class PaperAccount:
    """One account of `FuturesTradingEnv`, for bars that arrive one at a time.

    `step(action, bar, atr=...)` carries out the decision taken at the close of the bar before, by the
    compiled account step that environments and backtests share. On the same bars and actions its equity,
    trades and fills are those of `run_actions` and of `FuturesTradingEnv` to the bit, with one exception: it
    cannot know that a long gap in the data follows. A backtest closes its position before such a gap; here
    the position is carried over it and meets the first bar behind it as any other (funding, liquidation, stop
    and target at that bar's open, a bar of the holding period), while decisions taken before the gap are
    dropped: the bar they were meant for never came. Give None, no decision, until a window is complete again,
    as the Arbiter and backtests do.

    Stops and targets are multiples of the ATR at the decision. It comes with the decision (`Decision.atr`, or
    `FeatureStream.update(bar).atr`) and not from here: an average that was started on other bars, or rounded
    in another order, would put them elsewhere than the backtest does.

    Without a mark price the last price stands for it, as in `Bars` that have none.

    Args:
        symbol: named in messages.
        contract: costs, margins, funding.
        config: as for `run_actions`: its episode, its window and what is drawn at random play no part.
        step_ms: length of a bar, milliseconds.

    Raises:
        ConfigError: a configuration that the contract does not allow.
    """

    def __init__(
        self,
        symbol: str,
        contract: FuturesContract,
        config: EnvConfig | None = None,
        *,
        step_ms: int = 3_600_000,
    ) -> None:
        self.symbol = symbol
        self.contract = contract
        self.config = (config if config is not None else EnvConfig()).full_pass()
        self.step_ms = step_ms
        check_contract(contract, symbol, self.config)
        rules = rule_matrix(contract, self.config)
        self._rules = records(rules, RULES)[0]
        self._highest = {"order": 2.0, "target": 2.0 * self.config.max_units, "continuous": 1.0}[
            self.config.actions
        ]
        self._digest = _rules_digest(rules, contract, self.config, step_ms)
        self._accounts = _opened(self.config, rules)
        self._quotes = matrix(2, QUOTE)
        self._log = matrix(1, TRADE_LOG)
        self._last_ms: int | None = None
        self._bars = 0
        self._entry_ms = 0
        self._trades: list[PaperTrade] = []
        self._fills: list[PaperFill] = []
        self._link()

    def _link(self) -> None:
        """Records that are made once: making them costs more than using them."""
        self._account: Account = records(self._accounts, ACCOUNT)[0]
        self._before, self._now = records(self._quotes, QUOTE)
        self._written = records(self._log, TRADE_LOG)[0]

    @property
    def last_timestamp(self) -> int | None:
        """Open of the bar last taken in, milliseconds since the epoch, UTC."""
        return self._last_ms

    @property
    def bars(self) -> int:
        """Bars taken in, its history included."""
        return self._bars

    @property
    def equity(self) -> float:
        """At the last close, quote currency."""
        return float(self._account.equity)

    @property
    def position(self) -> float:
        """Signed base units held at the last close."""
        return float(self._account.quantity)

    @property
    def ruined(self) -> bool:
        """Whether equity fell to the floor: the account then trades no more."""
        return bool(self._account.terminated != 0.0)

    @property
    def info(self) -> dict[str, float]:
        """Everything that an environment's info tells of the account, costs since the start included."""
        return {name: float(getattr(self._account, field)) for name, field in INFO_FIELDS.items()}

    @property
    def executions(self) -> int:
        """Fills since the start."""
        return int(self._account.fills)

    @property
    def open_since(self) -> int | None:
        """Open of the bar in which the open position was entered; None while flat."""
        return self._entry_ms if self._account.quantity != 0.0 else None

    def warm(self, bar: Bar | Mapping[str, Any]) -> None:
        """Take in a bar of history, before the first step: it is known, but not traded.

        Raises:
            DataError: a bar that cannot be right or is not newer than the last.
            ConfigError: the account has begun to trade.
        """
        if self._account.step != 0.0:
            raise ConfigError(f"{self.symbol}: history comes before the first step; use step(None, bar) now.")
        taken = self._checked_bar(bar)
        self._take(taken, _mark_of(taken, None, self.symbol))
        self._account.row = float(self._bars - 1)

    def step(
        self,
        action: float | None,
        bar: Bar | Mapping[str, Any],
        *,
        atr: float | None = None,
        mark: Mark | None = None,
        close_out: bool = False,
    ) -> float:
        """Advance by one closed bar.

        Args:
            action: the decision taken at the close of the bar before, as in `config.actions`; None is no
                decision: what is held stays, and still meets its stops, funding and liquidation.
            bar: the bar after it.
            atr: ATR14 at the close of the bar before, price units, for configurations with stop or target;
                NaN or 0 is unknown and places none, as in a backtest's warm-up.
            mark: mark prices of the bar; None takes the last price.
            close_out: close what is open at this bar's close, paying for it, as a backtest does at its end.

        Returns:
            Equity at the close of the bar.

        Raises:
            DataError: a bar that cannot be right or is not newer than the last; the account is as it was.
            ConfigError: an action out of range or before the first bar, or one without the ATR it needs.
        """
        taken = self._checked_bar(bar)
        marked, intent = _mark_of(taken, mark, self.symbol), self._intent(action)
        known = self._known_atr(action, atr)
        broken = self._last_ms is not None and is_break(
            self._last_ms, taken.timestamp, self.step_ms, self.contract
        )
        self._take(taken, marked)
        self._before.atr = known
        if self._bars == 1:
            self._account.row = 0.0
        elif self.ruined:
            self._account.row += 1.0
            self._account.reward = 0.0
        else:
            if broken:
                intent = self._account.intent_1 = self._account.intent_2 = math.nan
            account_step(
                self._account, intent, self._before, self._now, self._rules, self._written, close_out
            )
            self._note(taken.timestamp)
        return self.equity

    def trades(self) -> pd.DataFrame:
        """Closed trades, columns as `quantum_trader.envs.records.trades_frame`; see `drain`."""
        return paper_trades_frame(self._trades)

    def fills(self) -> pd.DataFrame:
        """Executions, columns as `quantum_trader.envs.records.fills_frame`; see `drain`."""
        return paper_fills_frame(self._fills)

    def drain(self) -> PaperLog:
        """Hand over the trades and fills logged so far and forget them, so that memory does not grow."""
        log = PaperLog(trades=tuple(self._trades), fills=tuple(self._fills))
        self._trades, self._fills = [], []
        return log

    def state(self) -> dict[str, Any]:
        """The account as plain JSON values that `restore` turns back into the same bits.

        Finite numbers are written in full, the others as "nan", "inf" and "-inf". Trades and fills that
        `drain` has not taken are part of it.
        """
        state = PaperState(
            bars=self._bars,
            last_ms=self._last_ms,
            entry_ms=self._entry_ms,
            account=self._accounts[0],
            quote=self._quotes[1],
            log=PaperLog(trades=tuple(self._trades), fills=tuple(self._fills)),
        )
        return write_state(state, symbol=self.symbol, rules=self._digest)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken.

        Raises:
            ConfigError: a state of another version, symbol, contract, configuration or bar length, or a
                damaged one; the account is then as it was.
        """
        found = read_state(state, symbol=self.symbol, rules=self._digest)
        self._accounts[0] = found.account
        self._quotes[1] = found.quote
        self._bars, self._last_ms, self._entry_ms = found.bars, found.last_ms, found.entry_ms
        self._trades, self._fills = list(found.log.trades), list(found.log.fills)

    def _checked_bar(self, bar: Bar | Mapping[str, Any]) -> Bar:
        taken = as_bar(bar, symbol=self.symbol)
        if self._last_ms is not None and taken.timestamp <= self._last_ms:
            raise DataError(
                f"{self.symbol}: expected a bar after {_moment(self._last_ms)}, found one at "
                f"{_moment(taken.timestamp)}; send each closed bar once and in order."
            )
        return taken

    def _intent(self, action: float | None) -> float:
        if action is None:
            return math.nan
        if self._last_ms is None:
            raise ConfigError(
                f"{self.symbol}: an action is taken at the close of a bar, found none before this one; "
                "give the bars before it to warm(), or None as the first action."
            )
        number = float(action)
        lowest = -1.0 if self.config.actions == "continuous" else 0.0
        whole = self.config.actions == "continuous" or number.is_integer()
        if not (lowest <= number <= self._highest and whole):
            raise ConfigError(
                f'{self.symbol}: "{self.config.actions}" actions lie between {lowest:g} and '
                f"{self._highest:g}, found {action!r}."
            )
        return number

    def _known_atr(self, action: float | None, atr: float | None) -> float:
        exits = self.config.stop_loss_atr > 0.0 or self.config.take_profit_atr > 0.0
        holds = self.config.actions == "order" and action == 0.0 and self.config.delay_bars == 0
        if atr is None and exits and action is not None and not holds:
            raise ConfigError(
                f"{self.symbol}: stops and targets are multiples of the ATR: give step() the decision's atr, "
                "NaN where it is not known."
            )
        return math.nan if atr is None else float(atr)

    def _take(self, bar: Bar, mark: Mark) -> None:
        """The newest bar becomes the one before, and `bar` the newest."""
        self._quotes[0] = self._quotes[1]
        now = self._now
        last, marked = (bar.open, bar.high, bar.low, bar.close), (mark.open, mark.high, mark.low, mark.close)
        put_prices(now, *last, *marked)
        settles = self.contract.has_funding and not math.isnan(bar.funding_rate)
        now.funding_rate = bar.funding_rate if settles else 0.0
        now.atr, now.to_funding, now.open_ended = math.nan, 1.0, 1.0
        self._last_ms = bar.timestamp
        self._bars += 1

    def _note(self, bar_ms: int) -> None:
        """Copy what the step has logged."""
        log, row = self._written, self._account.row
        for trade in (log.first, log.second)[: int(log.count)]:
            values = _floats(trade)
            entry_ms = bar_ms if values[0] == row else self._entry_ms
            self._trades.append(PaperTrade(entry_ms=entry_ms, exit_ms=bar_ms, values=values))
        for fill in (log.fill_1, log.fill_2, log.fill_3)[: int(log.fills)]:
            self._fills.append(PaperFill(bar_ms=bar_ms, values=_floats(fill)))
        if self._account.entry_row == row:
            self._entry_ms = bar_ms


def _rules_digest(rules: Matrix, contract: FuturesContract, config: EnvConfig, step_ms: int) -> str:
    """Of all that decides what an account does with a bar, and of nothing else."""
    numbers = rules.astype("<f8").tobytes()
    further = (config.leverage, config.cost_multiplier, contract.has_funding, contract.session, step_ms)
    return hashlib.sha256(numbers + repr(further).encode()).hexdigest()


def _opened(config: EnvConfig, rules: Matrix) -> Matrix:
    """float64 [1, fields of `Account`]: an account that has not met a bar."""
    starts, accounts = matrix(1, START), matrix(1, ACCOUNT)
    start = records(starts, START)[0]
    start.leverage, start.cost = config.leverage, config.cost_multiplier
    open_accounts(accounts, _FIRST, starts, rules)
    return accounts


def _floats(record: Any) -> tuple[float, ...]:
    return tuple(record.item())


def _mark_of(bar: Bar, mark: Mark | None, symbol: str) -> Mark:
    """The mark of a bar, which is the last price where none is known."""
    if mark is None:
        return Mark(open=bar.open, high=bar.high, low=bar.low, close=bar.close)
    inside = mark.low <= mark.open <= mark.high and mark.low <= mark.close <= mark.high
    if not (mark.low > 0.0 and mark.high < math.inf and inside):
        raise DataError(
            f"{symbol}: expected mark prices with 0 < low <= open, close <= high, found {mark}; "
            "correct them or leave them out."
        )
    return mark


def _moment(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
