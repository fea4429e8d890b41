"""What a live session does and has come to: as records, as JSON, as text."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.files import write_text
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.envs.sources.timeframes import timeframe_ms
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK, STATUS, Plan, read_plan
from quantum_trader.serve.live.errors import StoreError
from quantum_trader.serve.live.session import SILENT, LiveSession, clock_time
from quantum_trader.serve.live.track import Track

Condition = Literal["warming up", "live", "failing", "silent"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a paper account has come to; money in quote currency."""

    symbol: str
    last_bar: str
    """Open of the newest bar it has met, UTC."""
    equity: float
    initial_balance: float
    position: float
    """Signed base units."""
    trades: int
    """Closed."""
    won: int
    """Closed with a profit after costs."""
    fees: float
    slippage: float
    funding: float
    """Paid minus received."""
    liquidations: int
    ruined: bool
    """Equity has fallen to the floor: the account trades no more."""

    @property
    def win_rate(self) -> float | None:
        """Share of closed trades with a profit after costs; None without trades."""
        return self.won / self.trades if self.trades else None


@dataclass(frozen=True, kw_only=True)
class SymbolStatus:
    """One symbol of a running session."""

    symbol: str
    condition: Condition
    """"silent": it answers, and has had no new bar for long."""
    error: str
    """Why it fails; empty where it does not."""
    last_bar: str
    action: str
    """Of the newest decision in this run; empty before it."""
    confidence: float
    source: str
    reason: str
    left_out_bars: int
    """Bars that the exchange sent and that cannot be right."""
    result: Result
    last_price_bars: int = 0
    """Bars of this run on which the account went by the last price, as no mark price could be had."""
    no_mark_price: str = ""
    """Why the newest of them had none; empty where the newest bar has one, or none is asked for."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A session as it stood after its last round."""

    written: str
    """By the exchange's clock, UTC."""
    process: int
    running: bool
    """False once the session has ended by itself; a process that was killed leaves True."""
    exchange: str
    timeframe: str
    model_hash: str
    clock_offset_ms: int
    """How far the exchange's clock is ahead of this machine's."""
    equity: float
    """Of all accounts together."""
    symbols: tuple[SymbolStatus, ...]


def status_of(session: LiveSession, *, exchange: str, timeframe: str, running: bool) -> Status:
    """The status of a session."""
    symbols = tuple(_symbol(track, session.book) for track in session.tracks.values())
    return Status(
        written=clock_time(session.clock.now_ms()),
        process=os.getpid(),
        running=running,
        exchange=exchange,
        timeframe=timeframe,
        model_hash=session.desk.arbiter.model_hash,
        clock_offset_ms=session.clock.offset_ms,
        equity=sum(symbol.result.equity for symbol in symbols),
        symbols=symbols,
    )


def write_status(status: Status, folder: Path) -> None:
    """Write `status.json`, whole or not at all."""
    write_text(folder / STATUS, json.dumps(to_plain(status), indent=1, allow_nan=False) + "\n")


def read_status(folder: Path) -> Status | None:
    """The status of a folder's newest session; None where none was written.

    Raises:
        ConfigError: it is damaged.
    """
    path = folder / STATUS
    if not path.is_file():
        return None
    try:
        return from_plain(Status, json.loads(path.read_text(encoding="utf-8")), where=str(path))
    except ValueError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}); it is written anew after the next bar."
        ) from error


def results(folder: Path) -> tuple[Result, ...]:
    """What every account of a folder has come to, whether its session runs or not.

    Raises:
        ConfigError: it is no folder of a live session.
        StoreError: its accounts cannot be read.
    """
    plan = read_plan(folder)
    book = PaperBook(folder / BOOK, read_only=True)
    try:
        return tuple(_result(saved_account(book, symbol, plan), book) for symbol in book.symbols())
    finally:
        book.close()


def saved_account(book: PaperBook, symbol: str, plan: Plan) -> PaperAccount:
    """The account of a symbol as it was last committed.

    Raises:
        StoreError: the folder has none.
    """
    saved = book.load(symbol)
    if saved is None or symbol not in plan.contracts:
        raise StoreError(
            f"{book.path}: there is no account of {symbol!r}; it has {', '.join(book.symbols())}."
        )
    account = PaperAccount(symbol, plan.contracts[symbol], plan.rules, step_ms=timeframe_ms(plan.timeframe))
    account.restore(saved.state)
    return account


def described(folder: Path) -> str:
    """The results of a folder as a table, and what its newest session said of itself.

    Raises:
        ConfigError, StoreError: see `results`.
    """
    lines = [summary(results(folder))]
    status = read_status(folder)
    if status is not None:
        state = "ended" if not status.running else "running" if _alive(status.process) else "cut off"
        lines.append(
            f"{state} as of {status.written} UTC, process {status.process}, model {status.model_hash}"
        )
        lines += [_trouble(symbol) for symbol in status.symbols if symbol.condition != "live"]
        lines += [
            f"{s.symbol}: the account goes by the last price: {s.no_mark_price} "
            f"({s.last_price_bars:,} bars of this run)"
            for s in status.symbols
            if s.no_mark_price
        ]
    return "\n".join(lines)


def results_json(folder: Path) -> str:
    """The results of a folder as JSON: a list of accounts, `win_rate` null without trades.

    Raises:
        ConfigError, StoreError: see `results`.
    """
    plain = [{**to_plain(result), "win_rate": result.win_rate} for result in results(folder)]
    return json.dumps(plain, indent=2, allow_nan=False)


def summary(found: Sequence[Result]) -> str:
    """A table of results, one account a line, and their sum."""
    head = f"{'symbol':<14}{'equity':>14}{'return':>9}{'trades':>8}{'won':>7}{'fees':>10}{'slippage':>10}"
    head += f"{'funding':>10}  position"
    lines = [head, *(_line(result) for result in found)]
    if len(found) > 1:
        equity = sum(result.equity for result in found)
        start = sum(result.initial_balance for result in found)
        trades, won = sum(r.trades for r in found), sum(r.won for r in found)
        costs = [sum(getattr(r, name) for r in found) for name in ("fees", "slippage", "funding")]
        lines.append(_columns("together", equity, start, trades, won, costs, ""))
    return "\n".join(lines)


def _alive(process: int) -> bool:
    """Whether a process of this machine still exists; true where that cannot be told."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _trouble(symbol: SymbolStatus) -> str:
    why = symbol.error or {"silent": "no new bar", "warming up": symbol.reason}.get(symbol.condition, "")
    return f"{symbol.symbol}: {symbol.condition}{f': {why}' if why else ''}"


def _line(result: Result) -> str:
    costs = [result.fees, result.slippage, result.funding]
    held = f"{result.position:+g}" if result.position else "flat"
    note = ", ruined: trades no more" if result.ruined else ""
    return _columns(
        result.symbol,
        result.equity,
        result.initial_balance,
        result.trades,
        result.won,
        costs,
        f"{held}{note}",
    )


def _columns(
    name: str, equity: float, start: float, trades: int, won: int, costs: Sequence[float], held: str
) -> str:
    share = f"{won / trades:.1%}" if trades else "-"
    money = "".join(f"{cost:>10,.2f}" for cost in costs)
    return (
        f"{name:<14}{equity:>14,.2f}{equity / start - 1:>+9.2%}{trades:>8,}{share:>7}{money}  {held}".rstrip()
    )


def _symbol(track: Track, book: PaperBook) -> SymbolStatus:
    decision = track.decision
    return SymbolStatus(
        symbol=track.symbol,
        condition=_condition(track),
        error=track.error,
        last_bar="" if track.last_ms is None else clock_time(track.last_ms),
        action="" if decision is None else decision.action.name,
        confidence=0.0 if decision is None else decision.confidence,
        source="" if decision is None else decision.source,
        reason="" if decision is None else decision.reason,
        left_out_bars=track.left_out,
        result=_result(track.account, book),
        last_price_bars=track.unmarked,
        no_mark_price=track.missing,
    )


def _condition(track: Track) -> Condition:
    if track.failures:
        return "failing"
    if track.empty >= SILENT:
        return "silent"
    if track.last_ms is None or (track.decision is not None and track.decision.source == "none"):
        return "warming up" if track.decision is None or track.decision.warming_up else "live"
    return "live"


def _result(account: PaperAccount, book: PaperBook) -> Result:
    info = account.info
    won, lost = book.won_and_lost(account.symbol)
    return Result(
        symbol=account.symbol,
        last_bar="" if account.last_timestamp is None else clock_time(account.last_timestamp),
        equity=account.equity,
        initial_balance=account.config.initial_balance,
        position=account.position,
        trades=won + lost,
        won=won,
        fees=info["fees"],
        slippage=info["slippage"],
        funding=info["funding"],
        liquidations=int(info["liquidations"]),
        ruined=account.ruined,
    )
