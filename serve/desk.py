"""`Desk`: decisions that are written down before they are given out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, TimeoutError as FutureTimeout
from dataclasses import dataclass
from threading import Lock

import pandas as pd

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.clock import system_ms
from quantum_trader.agents.decision import Decision
from quantum_trader.agents.history import SPARE_BARS, BarLike
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.serve.background import Background
from quantum_trader.serve.desk_config import DeskConfig
from quantum_trader.serve.entries import SHADOW, entry_of, shadows
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.records import Entry
from quantum_trader.serve.journal.resolving import resolve
from quantum_trader.serve.journal.retention import prune
from quantum_trader.serve.offered import closed_bar, offered_ms, sound_bars
from quantum_trader.serve.restoring import restore
from quantum_trader.serve.shared_lock import SharedLock

_USUAL = DeskConfig()
_PRUNE_EVERY_S = 6 * 3_600.0

Past = Bars | pd.DataFrame | Iterable[BarLike]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A decision, and whether it is in the journal."""

    decision: Decision
    journaled: bool
    """True once it is on disk; False without a journal, and where the journal has not confirmed it."""
    fault: str = ""
    """Why it is not on disk, in one sentence; empty where it is, or where there is no journal."""


class Desk:
    """What the service and the live loop share: an Arbiter whose decisions go into a journal. Thread-safe.

    A decision is given out once the journal has committed it, or after `commit_wait_s`, or with the journal's
    fault: never is it withheld because a disk is full. What could not be written waits in the journal.

    Args:
        arbiter: decides.
        journal: None keeps nothing.
        clock: milliseconds since the epoch, for `decided_ms`.
        config: limits.
    """

    def __init__(
        self,
        arbiter: Arbiter,
        journal: Journal | None = None,
        *,
        clock: Callable[[], int] = system_ms,
        config: DeskConfig = _USUAL,
    ) -> None:
        self.journal = journal
        self.config = config
        self._clock = clock
        self._pruned_s = -_PRUNE_EVERY_S
        self._in_use = SharedLock()
        self._resolving = Lock()
        self._arbiter = self._prepared(arbiter)
        self._outcomes = Background(self._keep_house, name="desk-outcomes") if journal is not None else None

    @property
    def arbiter(self) -> Arbiter:
        """The Arbiter that decides at the moment."""
        return self._arbiter

    def decide(self, bars: Mapping[str, BarLike]) -> dict[str, Answer]:
        """Decide on one closed bar per symbol, all by the same Arbiter.

        Args:
            bars: one bar a symbol; a bar that cannot be used is answered HOLD with the reason.
        """
        with self._in_use.shared():
            arbiter = self._arbiter
            decisions = arbiter.decide_batch(bars)
        if self.journal is None:
            return {symbol: Answer(decision=each, journaled=False) for symbol, each in decisions.items()}
        entries, closed = self._records(arbiter, bars, decisions)
        fault = self._confirmed(self.journal.record(entries, closed))
        if self._outcomes is not None:
            self._outcomes.wake()
        return {
            symbol: Answer(decision=each, journaled=not fault, fault=fault)
            for symbol, each in decisions.items()
        }

    def warmup(self, bars: Mapping[str, Past]) -> dict[str, int]:
        """Take past bars in without deciding, but for those that are still open; the journal keeps them too.

        Args:
            bars: by symbol, oldest first; those already known are skipped.

        Returns:
            Bars now in each symbol's window, at most 60.

        Raises:
            DataError: a bar is malformed or out of order, or there would be more symbols than
                `LiveConfig.max_symbols`. Neither histories nor journal have changed then.
        """
        given = {
            symbol: past if isinstance(past, Bars) else sound_bars(past, symbol)
            for symbol, past in bars.items()
        }
        with self._in_use.shared():
            lengths = self._arbiter.warmup(given)
            newest_ms = self._arbiter.newest_closed_ms()
            self._arbiter.get_ready(len(self._arbiter.histories))
        if self.journal is not None:
            sound = {
                symbol: sound_bars(several, symbol) if isinstance(several, Bars) else several
                for symbol, several in given.items()
            }
            past = {
                symbol: [bar for bar in several if bar.timestamp <= newest_ms]
                for symbol, several in sound.items()
            }
            self._confirmed(self.journal.record([], past))
            if self._outcomes is not None:
                self._outcomes.wake()
        return lengths

    def restore(self, symbols: Collection[str] | None = None) -> dict[str, int]:
        """Warm up with the journal's own bars, such as after a restart.

        Where bars came in order, decisions go on with the bits of a process that never ended: the history
        begins at the bar at which that one's would.

        Args:
            symbols: those wanted; None takes all that the journal has bars of. Where there are more than
                `LiveConfig.max_symbols`, those whose bars ended first are left out, and the log says so.

        Returns:
            Bars now in each symbol's window, at most 60.

        Raises:
            JournalError: the journal cannot be read.
        """
        if self.journal is None:
            return {}
        with self._in_use.shared():
            lengths = restore(self._arbiter, self.journal.reader, symbols)
            self._arbiter.get_ready(len(self._arbiter.histories))
        return lengths

    def swap(self, arbiter: Arbiter) -> None:
        """Decide with `arbiter` from now on; it takes over the histories as they stand.

        Calls that are under way finish with the Arbiter they began with; those that come wait a moment.
        """
        self._prepared(arbiter)
        arbiter.get_ready(len(self._arbiter.histories))
        with self._in_use.alone():
            before, self._arbiter = self._arbiter, arbiter
            arbiter.adopt(before)
        before.close()

    def resolve(self) -> int:
        """Write the outcomes whose horizon has passed; how many. Done by itself after decisions.

        Raises:
            JournalError: the journal cannot be read or written.
        """
        if self.journal is None:
            return 0
        histories = self._arbiter.histories
        with self._resolving:
            return resolve(self.journal, histories.contract, histories.step_ms)

    def close(self) -> None:
        """End the work in the background and close the journal; calling it again does nothing."""
        if self._outcomes is not None:
            self._outcomes.close()
        if self.journal is not None:
            self.journal.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepared(self, arbiter: Arbiter) -> Arbiter:
        """XGBoost is asked for its vote always: the journal compares it with what was decided."""
        if self.journal is not None:
            arbiter.always_ask = (SHADOW,)
        return arbiter

    def _keep_house(self) -> None:
        """What follows decisions in the background: outcomes, and now and then old rows are deleted."""
        self.resolve()
        due = time.monotonic() - self._pruned_s >= _PRUNE_EVERY_S
        if self.journal is not None and self.config.keep_days > 0.0 and due:
            prune(
                self.journal.path,
                keep_days=self.config.keep_days,
                now_ms=self._clock(),
                keep_bars=self._arbiter.live.kept_bars + SPARE_BARS,
            )
            self._pruned_s = time.monotonic()

    def _records(
        self, arbiter: Arbiter, bars: Mapping[str, BarLike], decisions: Mapping[str, Decision]
    ) -> tuple[list[Entry], dict[str, list[Bar]]]:
        """The journal's entries of one call, and those of its bars that are closed and sound."""
        moment = self._clock()
        beside = shadows(list(decisions.values()), arbiter.settings.fallback)
        entries: list[Entry] = []
        closed: dict[str, list[Bar]] = {}
        for symbol, decision in decisions.items():
            bar = closed_bar(bars[symbol], decision)
            if bar is not None:
                closed[symbol] = [bar]
            entries.append(
                entry_of(
                    decision,
                    bar_ms=offered_ms(bars[symbol], otherwise=moment) if bar is None else bar.timestamp,
                    decided_ms=moment,
                    settings=arbiter.settings,
                    shadow=beside.get(symbol),
                )
            )
        return entries, closed

    def _confirmed(self, written: Future[None]) -> str:
        """Wait until the journal has it on disk; else why it has not."""
        try:
            written.result(self.config.commit_wait_s)
        except FutureTimeout:
            return (
                f"the journal has not confirmed within {self.config.commit_wait_s:g} s; the decision is kept "
                "and written as soon as the disk allows."
            )
        except JournalError as error:
            return str(error)
        return ""
