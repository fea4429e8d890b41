"""`Poller`: when each symbol is asked for bars, and what to make of the answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import DataError, QuantumTraderError
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.errors import FeedError, TurnedAwayError
from quantum_trader.serve.live.feed import UNMARKED, Feed, MarkedBar, Settlements
from quantum_trader.serve.live.loop_config import LoopConfig
from quantum_trader.serve.live.track import Track

_log = logging.getLogger(__name__)

_WORKERS = 8
_PREPARE_S = 120.0
"""Seconds after its open at which a bar's funding rate is asked for."""
_PREPARE_AGAIN = 0.9
"""Part of the bar after which it is asked for again: some are published late."""
_TURNED_AWAY = 3
"""Times in a row that a venue turns this place away before that is believed: firewalls err, too."""


class Poller:
    """Asks for the bars of many symbols at a time; one that fails holds up nobody.

    Args:
        tracks: the symbols; bars that are found are put into `Track.waiting`.
        feed: bars.
        clock: the venue's.
        config: of the loop.
        step_ms: length of a bar.
        say: takes lines for the user.
    """

    def __init__(
        self,
        tracks: Iterable[Track],
        feed: Feed,
        clock: VenueClock,
        config: LoopConfig,
        *,
        step_ms: int,
        say: Callable[[str], None],
    ) -> None:
        self._tracks = tuple(tracks)
        self._feed, self._clock, self._say = feed, clock, say
        self.config, self.step_ms = config, step_ms
        self._asking: dict[Future[list[Bar]], Track] = {}
        self._preparing: dict[Future[Settlements], Track] = {}
        self._overdue: set[Future[Settlements]] = set()
        self._slow: set[Future[list[Bar]]] = set()
        self._prepared_ms = 0
        self._clock_fails = False
        self._pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="live-feed")

    def poll(self) -> dict[str, list[Bar]] | None:
        """Ask whoever is due and take what has been answered.

        Returns:
            The past of symbols that had none; None where nobody answered.

        Raises:
            TurnedAwayError: the venue does not serve this place.
        """
        self._synchronise()
        self._ask(self._clock.now_ms())
        return self._collect()

    def prepare(self) -> None:
        """Between closes, ask for funding rates; what fails is asked for again when the bar closes."""
        now = self._clock.now_ms()
        open_ms = now - now % self.step_ms
        first = open_ms + int(min(_PREPARE_S * 1000.0, self.step_ms / 2))
        again = open_ms + int(_PREPARE_AGAIN * self.step_ms)
        due = again if now >= again else first
        if now < due or due <= self._prepared_ms or self._asking:
            return
        self._prepared_ms = due
        for track in self._tracks:
            if self._due_ms(track) > now and not track.failures:
                self._preparing[self._pool.submit(_quietly, self._feed, track.symbol, now)] = track

    def settlements(self) -> list[tuple[Track, Settlements]]:
        """What `prepare` has learned since this was last called."""
        done = [future for future in self._preparing if future.done()]
        return [(self._preparing.pop(future), future.result()) for future in done]

    def due_in_s(self) -> float:
        """Seconds until somebody is to be asked or may have answered."""
        busy = {track.symbol for track in self._asking.values()}
        idle = [self._due_ms(track) for track in self._tracks if track.symbol not in busy]
        left = (min(idle) - self._clock.now_ms()) / 1000.0 if idle else self.config.retry_s
        return min(left, 0.05) if self._asking else left

    def close(self) -> None:
        """Ask nobody any more; what is under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _synchronise(self) -> None:
        if not self._clock.doubtful:
            return
        try:
            self._clock.sync()
            self._clock_fails = False
        except FeedError as error:
            if not self._clock_fails:
                self._say(f"the exchange's clock cannot be read ({error}); going on by the last answer")
            self._clock_fails = True

    def _ask(self, now: int) -> None:
        """Ask for the bars of every symbol whose time has come."""
        busy = {track.symbol for track in self._asking.values()}
        due = [
            track
            for track in self._tracks
            if not (track.symbol in busy or track.waiting or self._due_ms(track) > now)
        ]
        if due:
            self._wait_for_rates()
        for track in due:
            since = track.since_ms = self._since(track, now)
            until = now
            if track.last_ms is not None and not track.empty:
                until = min(now, since + self.config.page_bars * self.step_ms)
            new = track.last_ms is None
            asked = self._pool.submit(_bars, self._feed, track.symbol, since, until, new=new)
            self._asking[asked] = track

    def _wait_for_rates(self) -> None:
        """Rates that are being asked for need not be asked for again; one that hangs is waited for once."""
        wait(self._preparing.keys() - self._overdue, timeout=self.config.together_s)
        self._overdue = {future for future in self._preparing if not future.done()}

    def _due_ms(self, track: Track) -> int:
        """When to ask for bars: not before the next one has closed, nor before a wait after failures ends."""
        if track.last_ms is None:
            return track.next_try_ms
        settled_ms = track.last_ms + 2 * self.step_ms + int(self.config.settle_s * 1000)
        return max(track.next_try_ms, settled_ms)

    def _since(self, track: Track, now: int) -> int:
        """Open of the first bar to ask for."""
        if track.last_ms is not None:
            return track.last_ms + self.step_ms
        newest_open = now - now % self.step_ms
        return newest_open - self.config.warmup_bars * self.step_ms

    def _collect(self) -> dict[str, list[Bar]] | None:
        """What has been answered; symbols that take long are left for the next time."""
        if not self._asking:
            return None
        # A request that hangs is waited for once: it must not hold up those who are asked beside it.
        wait(self._asking.keys() - self._slow, timeout=self._patience_s())
        done = {future for future in self._asking if future.done()}
        self._slow = self._asking.keys() - done
        past: dict[str, list[Bar]] = {}
        for future in [future for future in self._asking if future in done]:
            track = self._asking.pop(future)
            try:
                bars = self._sound(track, future.result())
            except QuantumTraderError as error:
                self.failed(track, error)
                if isinstance(error, TurnedAwayError) and track.turned_away >= _TURNED_AWAY:
                    raise
                continue
            except Exception as error:
                # Whatever a library does with one symbol's answer, the others go on.
                _log.exception("%s: the answer could not be used", track.symbol)
                self.failed(track, FeedError(f"the answer could not be used ({type(error).__name__})"))
                continue
            self._recovered(track)
            self._take(track, bars, past)
        return past if done else None

    def _patience_s(self) -> float:
        """Seconds to wait for answers: until the next symbol is due at most."""
        busy = {track.symbol for track in self._asking.values()}
        idle = [
            self._due_ms(track) for track in self._tracks if track.symbol not in busy and not track.waiting
        ]
        left = (min(idle) - self._clock.now_ms()) / 1000.0 if idle else self.config.together_s
        return min(max(left, 0.05), self.config.together_s)

    def _sound(self, track: Track, found: Sequence[Bar]) -> list[Bar]:
        """Closed bars that were asked for, each once, without those that cannot be right."""
        now = self._clock.now_ms()
        sound: dict[int, Bar] = {}
        for bar in found:
            if bar.timestamp + self.step_ms > now or bar.timestamp in sound:
                continue
            if bar.timestamp < track.since_ms:
                continue
            try:
                sound[bar.timestamp] = as_bar(bar, symbol=track.symbol)
            except DataError as error:
                track.left_out += 1
                self._say(f"left out: {error}")
        return [sound[moment] for moment in sorted(sound)]

    def _take(self, track: Track, bars: list[Bar], past: dict[str, list[Bar]]) -> None:
        """Queue what was found and say when to ask again."""
        now = self._clock.now_ms()
        if not bars:
            track.empty += 1
            track.next_try_ms = now + int(self._delay_s(track.empty - 1) * 1000)
            return
        if self._doubtful(track, bars) or self._unmarked(track, bars):
            track.next_try_ms = now + int(self.config.retry_s * 1000)
            return
        if track.last_ms is None:
            past[track.symbol] = bars
        else:
            track.waiting.extend(bars)
        track.empty = 0
        track.doubted_ms = None
        track.next_try_ms = 0

    def _doubtful(self, track: Track, bars: list[Bar]) -> bool:
        """Whether bars are missing that have not been asked for a second time."""
        known = [] if track.last_ms is None else [track.last_ms]
        opens = [*known, *(bar.timestamp for bar in bars)]
        hole = next((b for a, b in pairwise(opens) if b - a > self.step_ms), None)
        if hole is None or track.doubted_ms == hole:
            return False
        track.doubted_ms = hole
        return True

    def _unmarked(self, track: Track, bars: Sequence[Bar]) -> bool:
        """Whether the newest bar has no mark price and has not been asked for a second time."""
        newest = bars[-1]
        if not isinstance(newest, MarkedBar) or newest.mark is not None or newest.missing == UNMARKED:
            return False
        if track.unmarked_ms == newest.timestamp:
            return False
        track.unmarked_ms = newest.timestamp
        return True

    def failed(self, track: Track, error: QuantumTraderError) -> None:
        """Note a failure and say when to try again, from the bar after the last that was taken in."""
        now = self._clock.now_ms()
        track.waiting.clear()
        asked = error.retry_after_s if isinstance(error, FeedError) else None
        track.next_try_ms = now + int(max(self._delay_s(track.failures), asked or 0.0) * 1000)
        if not track.failures:
            track.failing_since_ms = now
        if str(error) != track.error:
            self._say(f"{track.symbol}: {error}")
        track.failures += 1
        track.turned_away = track.turned_away + 1 if isinstance(error, TurnedAwayError) else 0
        track.error = str(error)

    def _delay_s(self, attempts: int) -> float:
        """Seconds until the next attempt; the power of two is capped, since a symbol may fail for years."""
        return min(self.config.retry_s * 2.0 ** min(attempts, 30), self.config.longest_retry_s)

    def _recovered(self, track: Track) -> None:
        if track.failures:
            self._say(f"{track.symbol}: answers again")
        track.failures, track.error, track.failing_since_ms, track.turned_away = 0, "", 0, 0


def _bars(feed: Feed, symbol: str, since_ms: int, until_ms: int, *, new: bool) -> list[Bar]:
    """Closed bars with what is wanted of them; no account meets the past of a new symbol."""
    bars = feed.closed_bars(symbol, since_ms, until_ms)
    return bars if new else feed.marked(symbol, bars)


def _quietly(feed: Feed, symbol: str, now_ms: int) -> Settlements:
    try:
        return feed.prepare(symbol, now_ms)
    except QuantumTraderError:
        return Settlements()
    except Exception:
        # Whatever a library does with one answer: the bar's own question brings the rate, or says why not.
        _log.exception("%s: funding rates could not be used", symbol)
        return Settlements()
