"""`LiveSession`: bars in, decisions into the journal, paper accounts forward; from bar to bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.errors import FeedError
from quantum_trader.serve.live.feed import Feed, MarkedBar
from quantum_trader.serve.live.late import book_late
from quantum_trader.serve.live.loop_config import LoopConfig
from quantum_trader.serve.live.poller import Poller
from quantum_trader.serve.live.rebuild import rebuild
from quantum_trader.serve.live.track import Track, order_of

_LONGEST_NAP_S = 5.0
"""Waits are cut into pieces, so that a machine that slept notices soon after waking up."""
SILENT = 4
"""Questions in a row without a new bar after which a symbol counts as silent."""


class LiveSession:
    """One run of the live loop over one folder.

    The order of things makes it resumable: a bar is decided on, the journal commits bar and decision, the
    account steps, the book commits the account. What a kill cuts off is either nowhere yet, and the bar is
    fetched and decided on again, or in the journal, and the account is brought up to it at the next start.

    Args:
        desk: with a journal, and an Arbiter whose clock is `clock`.
        feed: bars.
        book: of the folder.
        clock: the venue's; `sync` has succeeded.
        config: of the loop.
        rules: of the accounts.
        contracts: of every symbol to trade, in this order.
        step_ms: length of a bar.
        sleep: waits so many seconds, or less when the session is to end.
        stopped: whether it is to end.
        say: takes lines for the user.
        note: is called after every round, to write the status.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        feed: Feed,
        book: PaperBook,
        clock: VenueClock,
        config: LoopConfig,
        rules: EnvConfig,
        contracts: Mapping[str, FuturesContract],
        step_ms: int,
        sleep: Callable[[float], object],
        stopped: Callable[[], bool],
        say: Callable[[str], None],
        note: Callable[[LiveSession], None],
    ) -> None:
        self.desk, self.book, self.clock = desk, book, clock
        self.config, self.step_ms = config, step_ms
        self.tracks = {
            symbol: Track(symbol=symbol, account=PaperAccount(symbol, contract, rules, step_ms=step_ms))
            for symbol, contract in contracts.items()
        }
        self._known_differing = 0
        self._sleep, self._stopped, self._say, self._note = sleep, stopped, say, note
        self._poller = Poller(self.tracks.values(), feed, clock, config, step_ms=step_ms, say=say)

    def restore(self) -> None:
        """Take up what the folder holds.

        Raises:
            JournalError, StoreError, ConfigError: see `quantum_trader.serve.live.rebuild.rebuild`.
        """
        assert self.desk.journal is not None
        self._known_differing = self._differing()  # before anything is read: a later change is noticed
        written = self._total("decisions", "bars")
        self.desk.restore(self.tracks)
        known = [track for track in self.tracks.values() if self._rebuilt(track)]
        if self._total("decisions", "bars") != written:
            raise JournalError("the journal was written to while it was read; it is read again.")
        self._save(known)
        if known:
            self._say(f"resumed {_counted(len(known), 'symbol')} at {_newest(known)}")

    def run(self) -> None:
        """Go on until told to end, or until `LoopConfig.bars` bars are decided on.

        Raises:
            JournalError, StoreError: what was decided cannot be written down: nothing more is decided.
        """
        try:
            while not self._over():
                past = self._poller.poll()
                if past:
                    self._begin(past)
                self._decide_waiting()
                self._book_late()
                if past is not None:
                    self._note(self)
                self._poller.prepare()
                self._nap()
        finally:
            self._poller.close()
            self._note(self)

    def _book_late(self) -> None:
        """Book funding that was published after its bar had been decided on."""
        assert self.desk.journal is not None
        for track, told in self._poller.settlements():
            rates = book_late(track, told, self.desk.journal.reader, self.book)
            for moment, rate in rates.items():
                said = f"{track.symbol}: funding of {clock_time(moment)}, {rate:+.4%}, was published late"
                self._say(f"{said}; the account has it now")
            if rates:
                self._note(self)

    def _rebuilt(self, track: Track) -> bool:
        assert self.desk.journal is not None
        replayed = rebuild(track, self.desk.journal.reader, self.book)
        if replayed > 1:
            self._say(f"{track.symbol}: {_counted(replayed, 'bar')} of the journal replayed")
        return track.last_ms is not None

    def _over(self) -> bool:
        if self._stopped():
            return True
        healthy = [track for track in self.tracks.values() if not track.failures and track.empty < SILENT]
        wanted = self.config.bars
        return wanted > 0 and bool(healthy) and all(track.decided >= wanted for track in healthy)

    def _begin(self, past: Mapping[str, list[Bar]]) -> None:
        """Warm new symbols up: no decision is taken on these bars."""
        assert self.desk.journal is not None
        self.desk.journal.record([], past).result()
        self.desk.restore(past)
        for symbol, bars in past.items():
            self.tracks[symbol].begin(bars)
        self._save([self.tracks[symbol] for symbol in past])
        fewest = min(past, key=lambda symbol: len(past[symbol]))
        self._say(f"warmed up {_counted(len(past), 'symbol')}, {fewest} with {len(past[fewest]):,} bars")

    def _decide_waiting(self) -> None:
        """Decide on everything that waits, oldest bars first, all symbols of one moment together."""
        before = 0
        while not self._stopped():
            heads = [track.waiting[0].timestamp for track in self.tracks.values() if track.waiting]
            if not heads:
                return
            moment = min(heads)
            batch = {
                track.symbol: track.waiting.popleft()
                for track in self.tracks.values()
                if track.waiting and track.waiting[0].timestamp == moment
            }
            moved = self._round(batch)
            if any(track.waiting for track in self.tracks.values()):
                before += 1
            else:
                self._say(self._line(moment, moved, before))

    def _round(self, batch: Mapping[str, Bar]) -> list[Track]:
        """Journal, accounts, book; the symbols whose bar was taken in."""
        self._save_marks(batch)
        answers = self.desk.decide({symbol: _plain(bar) for symbol, bar in batch.items()})
        for answer in answers.values():
            if not answer.journaled:
                raise JournalError(answer.fault or "the journal did not take a decision.")
        self._check_journal()
        moved = []
        for symbol, bar in batch.items():
            track, decision = self.tracks[symbol], answers[symbol].decision
            if decision.timestamp != bar.timestamp:  # refused: the history and the account stay as they are
                self._poller.failed(track, FeedError(decision.reason))
                continue
            track.step(bar)
            self._note_mark(track, bar)
            track.order = order_of(decision, bar.timestamp)
            track.decision = decision
            track.decided += 1
            moved.append(track)
        self._save(moved)
        return moved

    def _save_marks(self, batch: Mapping[str, Bar]) -> None:
        """Before the journal has the bars: what it has must be complete for a replay."""
        marks = {
            symbol: (bar.timestamp, bar.mark) for symbol, bar in batch.items() if isinstance(bar, MarkedBar)
        }
        if marks:
            self.book.save_marks(marks)

    def _note_mark(self, track: Track, bar: Bar) -> None:
        missing = bar.missing if isinstance(bar, MarkedBar) else ""
        if missing:
            track.unmarked += 1
            if missing != track.missing:
                self._say(
                    f"{track.symbol}: no mark price at {clock_time(bar.timestamp)} ({missing}); "
                    "the account goes by the last price"
                )
        track.missing = missing

    def _check_journal(self) -> None:
        """Compare what was decided with what is on disk.

        The first decision on a bar counts. A journal that was given up while its disk hung may have written
        one after this session had read it, and before this one's: then the disk's is the truth.
        """
        found = self._differing()
        if self._known_differing != found:
            raise JournalError("the journal has another decision or bar than the one just taken; it counts.")

    def _differing(self) -> int:
        """Decisions and bars that were offered to the journal when it had others for the same bar."""
        return self._total("differing_decisions", "differing_bars")

    def _total(self, *names: str) -> int:
        assert self.desk.journal is not None
        places = ", ".join("?" * len(names))
        query = f"SELECT SUM(value) FROM totals WHERE name IN ({places})"
        return int(self.desk.journal.reader.query(query, names)[0][0])

    def _save(self, tracks: Sequence[Track]) -> None:
        accounts = {track.symbol: track.account for track in tracks}
        self.book.save(accounts, {track.symbol: track.points for track in tracks})
        for track in tracks:
            track.points = []

    def _line(self, moment: int, moved: Sequence[Track], before: int) -> str:
        names = [track.decision.action.name for track in moved if track.decision is not None]
        decided = ", ".join(
            f"{names.count(word)} {word}" for word in ("BUY", "SELL", "HOLD") if word in names
        )
        equity = sum(track.account.equity for track in self.tracks.values())
        delay = (self.clock.now_ms() - moment - self.step_ms) / 1000.0
        missed = f"; {_counted(before, 'bar')} before it made up for" if before else ""
        return (
            f"{clock_time(moment)} {decided or 'nothing'}; equity {equity:,.2f}; "
            f"{delay:,.1f} s after the close{missed}"
        )

    def _nap(self) -> None:
        """Until the next symbol is due, in pieces."""
        if self._over() or any(track.waiting for track in self.tracks.values()):
            return
        left = self._poller.due_in_s()
        if left > 0:
            self._sleep(min(left, _LONGEST_NAP_S))


def _plain(bar: Bar) -> Bar:
    return bar.plain() if isinstance(bar, MarkedBar) else bar


def _newest(tracks: Sequence[Track]) -> str:
    return clock_time(max(track.last_ms or 0 for track in tracks))


def clock_time(moment_ms: int) -> str:
    """A moment in milliseconds since the epoch as "2024-05-01 12:00", UTC."""
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
