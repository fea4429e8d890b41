"""Opening a live session's folder, running it, and starting over after a disk that failed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.envs.sources.timeframes import timeframe_ms
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.desk_config import DeskConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.config import BOOK, JOURNAL, Plan, settled_plan
from quantum_trader.serve.live.errors import FeedError, StoreError, TurnedAwayError
from quantum_trader.serve.live.feed import Feed
from quantum_trader.serve.live.lock import FolderLock
from quantum_trader.serve.live.loop_config import LoopConfig
from quantum_trader.serve.live.session import LiveSession
from quantum_trader.serve.live.status import results, status_of, summary, write_status

_DESK = DeskConfig(commit_wait_s=30.0)
"""A decision that is not on disk is not traded on, so a slow disk is worth waiting for."""
_FIRST_REST_S, _LONGEST_REST_S = 5.0, 300.0

MakeArbiter = Callable[[Plan, VenueClock], Arbiter]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a session needs of the world; tests put theirs in its place."""

    feed: Feed
    clock: VenueClock
    sleep: Callable[[float], object]
    """Waits so many seconds, or less once `stopped`."""
    stopped: Callable[[], bool]
    say: Callable[[str], None]


def run_live(
    folder: Path,
    wanted: Plan,
    config: LoopConfig,
    world: Surroundings,
    *,
    make_arbiter: MakeArbiter,
    contract_given: bool = False,
    check: Callable[[Sequence[str]], None] | None = None,
) -> None:
    """Run a session in `folder` until it is told to end.

    Where the journal or the accounts cannot be written, everything in memory is dropped, and after a rest
    the session is taken up from the disk again: what is on disk is the truth.

    Args:
        folder: of the session; made where it is missing.
        wanted: exchange, bar length, rules and contracts of the symbols to trade.
        config: of the loop.
        world: feed and clocks.
        make_arbiter: the Arbiter for a plan, with the clock it is to use.
        contract_given: see `settled_plan`.
        check: looks symbols up that the folder has no account of, so that a typing error ends the start.

    Raises:
        ConfigError: another session works in the folder, it was started differently, or there is no such
            market.
        FeedError: the exchange does not answer at the start.
        TurnedAwayError: it does not serve this country or address, now or then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        unknown = _unknown(folder, wanted)
        if check is not None and unknown:
            _first_contact(lambda: check(unknown), world)
        for symbol, contract in wanted.contracts.items():  # before the folder is bound to these rules
            PaperAccount(symbol, contract, wanted.rules)
        plan = settled_plan(folder, wanted, contract_given=contract_given)
        _find_the_time(world, patient=not unknown)
        _persistently(folder, plan, tuple(wanted.contracts), config, world, make_arbiter)
        if (folder / BOOK).is_file():
            world.say(summary(results(folder)))
    finally:
        lock.release()


def _unknown(folder: Path, wanted: Plan) -> list[str]:
    """Symbols without an account: those that have one may have been delisted since."""
    if not (folder / BOOK).is_file():
        return list(wanted.contracts)
    book = PaperBook(folder / BOOK, read_only=True)
    try:
        known = book.symbols()
    finally:
        book.close()
    return [symbol for symbol in wanted.contracts if symbol not in known]


def _first_contact(ask: Callable[[], object], world: Surroundings) -> None:
    """At a first start nobody knows yet whether the exchange can be reached from here: say so and end.

    An exchange that asks for a pause can be reached: it is waited for.
    """
    while not world.stopped():
        try:
            ask()
            return
        except TurnedAwayError:
            raise
        except FeedError as error:
            if error.retry_after_s is None:
                raise FeedError(
                    f"the exchange does not answer ({error}); check the connection and start again."
                ) from error
            world.say(
                f"the exchange asks for a pause ({error}); trying again in {error.retry_after_s:,.0f} s"
            )
            world.sleep(error.retry_after_s)


def _find_the_time(world: Surroundings, *, patient: bool) -> None:
    """The first look at the exchange's clock; a session that was under way waits until it answers."""
    if not patient:
        return _first_contact(world.clock.sync, world)
    rest = _FIRST_REST_S
    while not world.stopped():
        try:
            return world.clock.sync()
        except TurnedAwayError:
            raise
        except FeedError as error:
            pause = max(rest, error.retry_after_s or 0.0)
            world.say(f"the exchange does not answer ({error}); trying again in {pause:,.0f} s")
            world.sleep(pause)
        rest = min(2.0 * rest, _LONGEST_REST_S)


def _persistently(
    folder: Path,
    plan: Plan,
    symbols: Sequence[str],
    config: LoopConfig,
    world: Surroundings,
    make_arbiter: MakeArbiter,
) -> None:
    """Run sessions until one ends by itself."""
    rest = _FIRST_REST_S
    while not world.stopped():
        try:
            _run_once(folder, plan, symbols, config, world, make_arbiter)
            return
        except (JournalError, StoreError) as error:
            world.say(f"{error} Nothing is decided meanwhile; trying again in {rest:g} s.")
        world.sleep(rest)
        rest = min(2.0 * rest, _LONGEST_REST_S)


def _run_once(
    folder: Path,
    plan: Plan,
    symbols: Sequence[str],
    config: LoopConfig,
    world: Surroundings,
    make_arbiter: MakeArbiter,
) -> None:
    def note(session: LiveSession, running: bool = True) -> None:
        try:
            write_status(
                status_of(session, exchange=plan.exchange, timeframe=plan.timeframe, running=running), folder
            )
        except OSError as error:
            raise StoreError(f"{folder}: the status cannot be written ({error.strerror}).") from error

    with contextlib.ExitStack() as open_things:
        book = PaperBook(folder / BOOK)
        open_things.callback(book.close)
        journal = Journal(folder / JOURNAL)
        open_things.callback(journal.close)
        desk = Desk(make_arbiter(plan, world.clock), journal, clock=world.clock.now_ms, config=_DESK)
        open_things.callback(desk.close)
        session = LiveSession(
            desk=desk,
            feed=world.feed,
            book=book,
            clock=world.clock,
            config=config,
            rules=plan.rules,
            contracts={symbol: plan.contracts[symbol] for symbol in symbols},
            step_ms=timeframe_ms(plan.timeframe),
            sleep=world.sleep,
            stopped=world.stopped,
            say=world.say,
            note=note,
        )
        session.restore()
        try:
            session.run()
        except TurnedAwayError:
            note(session, running=False)
            raise
        note(session, running=False)


class Ending:
    """Turns the first SIGTERM or Ctrl-C into a wish to end; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def stopped(self) -> bool:
        """Whether the end was asked for."""
        return self._asked.is_set()

    def sleep(self, seconds: float) -> None:
        """Wait, or less once the end is asked for."""
        self._asked.wait(seconds)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Ending]:
        """Listen for signals inside the block; in the main thread only."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked.set()
            signal.signal(signal.SIGINT, signal.default_int_handler)

        for number in before:
            signal.signal(number, ask)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
