"""The Arbiter: calibrated members pooled, gated, with XGBoost behind them and HOLD behind that."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.agents.arrival import LATE, Moment, interval_warning, late, moment_of, untimely
from quantum_trader.agents.batcher import ROWS
from quantum_trader.agents.check_up import check_up
from quantum_trader.agents.clock import SteadyClock
from quantum_trader.agents.decision import Decision, Decisions
from quantum_trader.agents.drift import Drift, DriftReference, DriftWatch
from quantum_trader.agents.frame import decide_frame
from quantum_trader.agents.health import Health
from quantum_trader.agents.history import BarLike, LiveHistories, SymbolHistory
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.panel import Panel
from quantum_trader.agents.signals import Agent, ModelInputs
from quantum_trader.agents.snapshot import read_snapshot, write_snapshot
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.envs.scaler import FeatureScaler

if TYPE_CHECKING:
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent

Floats32 = NDArray[np.float32]
Past = BarLike | Iterable[BarLike] | pd.DataFrame | Bars

TOO_MANY = "too many symbols"


class Arbiter(Panel):
    """Combines the agents' signals into one decision per symbol, and never raises for a model's fault.

    The calibrated probabilities of TFT, XGBoost and PPO are pooled (`log_opinion_pool`), one encoder pass
    serving TFT and PPO: networks and trees err differently, so that together they know more. If P(HOLD)
    reaches the hold threshold, or the directional confidence stays below the confidence threshold, the
    decision is HOLD; else the likelier direction. Where another member of the pool is missing or fails, the
    TFT decides alone. Where the TFT is missing, fails, is too slow, answers NaN, or is outside its training
    distribution, XGBoost decides by its own gate; where XGBoost fails too the decision is HOLD. Every
    decision says who decided and why.

    All methods may be called from several threads. Each symbol has a lock of its own, held while its bar is
    taken in, not while models think.

    Args:
        tft, ppo, fallback: the members; None where missing.
        settings: pool, gates and limits.
        scaler: fitted on training rows, the members' own.
        problems: why members are missing, for `problems`.
        contracts: contract by symbol for live use; guessed from the symbol's name where not given.
        step_ms: length of a bar in live use, milliseconds.
        live: limits of live use.
        drift: how the features of the training rows are spread; None leaves drift unwatched.
        clock: milliseconds since the epoch, UTC.
    """

    name = "arbiter"

    def __init__(
        self,
        *,
        tft: TFTAgent | None,
        ppo: PolicyAgent | None,
        fallback: Agent | None,
        settings: ArbiterSettings,
        scaler: FeatureScaler,
        problems: Iterable[str] = (),
        model_hash: str = "",
        contracts: Mapping[str, FuturesContract] | None = None,
        step_ms: int = 3_600_000,
        live: LiveConfig | None = None,
        drift: DriftReference | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.live = live if live is not None else LiveConfig()
        super().__init__(
            tft=tft, ppo=ppo, fallback=fallback, settings=settings, scaler=scaler, live=self.live
        )
        self.problems = tuple(problems)
        self.model_hash = model_hash
        self.histories = LiveHistories(contracts=contracts, step_ms=step_ms, kept_bars=self.live.kept_bars)
        self.clock = clock if clock is not None else SteadyClock()
        self.drift_watch = DriftWatch(drift) if drift is not None else None
        self._decided: Counter[str] = Counter()
        self._counting, self._admitting = Lock(), Lock()

    def add_to_history(self, symbol: str, bars: Past) -> int:
        """Append bars without deciding; see `LiveHistories.extend`.

        Those that have not closed yet are left out, as `decide` leaves them: venues list the open bar last,
        and once it were in the history the closed one would be its duplicate. Only `Bars` are believed to be
        closed bars, whatever the clock says.

        Raises:
            DataError: a bar is incomplete or contradicts itself; those before it are kept. Or bars are not in
                order, or there is no room for one more symbol; nothing is kept then.
        """
        self.admit((symbol,))
        history = self.histories[symbol]
        newest_ms = self.newest_closed_ms()
        with history.lock:
            try:
                return self.histories.extend(symbol, bars, newest_ms=newest_ms)
            finally:
                self._watch(history)

    def newest_closed_ms(self) -> int:
        """Open of the newest bar that may have closed by the clock, milliseconds since the epoch."""
        return self.clock() + self.live.open_tolerance_ms - self.histories.step_ms

    def warmup(self, bars: Mapping[str, Past]) -> dict[str, int]:
        """`add_to_history` for several symbols.

        Returns:
            Bars now in the window of each, at most 60; decisions begin at 60.

        Raises:
            DataError: as `add_to_history`; there is no room for all symbols: none is taken in then.
        """
        self.admit(bars)
        return {symbol: self.add_to_history(symbol, past) for symbol, past in bars.items()}

    def admit(self, symbols: Iterable[str]) -> None:
        """Open a history for each of `symbols`, or for none of them where there is not room for all.

        Raises:
            DataError: there would be more than `LiveConfig.max_symbols`.
        """
        self._open_histories(symbols, all_or_none=True)

    def decide(self, symbol: str, bar: BarLike) -> Decision:
        """Append one closed bar of `symbol` and decide.

        A bar that cannot be decided on is answered HOLD with the reason: a malformed, duplicate or older
        one, one that is still open or lies in the future, and one that comes late (`LiveConfig`). All of
        them but the late one leave the history as it was.
        """
        return self.decide_batch({symbol: bar})[symbol]

    def decide_batch(self, bars: Mapping[str, BarLike]) -> dict[str, Decision]:
        """Append one closed bar per symbol and decide for all of them in one pass through the models.

        A symbol's decision does not depend on the symbols beside it, to the bit.
        """
        started = time.perf_counter()
        moments = self._take(bars)
        asked = [symbol for symbol, moment in moments.items() if not moment.reason]
        answers = {symbol: self._held(symbol, moment) for symbol, moment in moments.items() if moment.reason}
        for start in range(0, len(asked), ROWS):
            answers |= self._judge(asked[start : start + ROWS], moments)
        with self._counting:
            self._decided.update(answer.source for answer in answers.values())
        elapsed = (time.perf_counter() - started) * 1000
        for answer in answers.values():  # nobody has seen them yet, and a hundred copies take their time
            object.__setattr__(answer, "latency_ms", elapsed)
        return {symbol: answers[symbol] for symbol in bars}

    def decide_frame(self, frame: pd.DataFrame, symbol: str = "", *, last: int | None = None) -> pd.DataFrame:
        """Decide at the close of every bar of a frame; see `quantum_trader.agents.frame.decide_frame`."""
        return decide_frame(self, frame, symbol, last=last)

    def snapshot(self) -> bytes:
        """Every history, for `restore` in this or another process; see `quantum_trader.agents.snapshot`."""
        return write_snapshot(self.histories)

    def restore(self, data: bytes) -> dict[str, int]:
        """Take up the histories of a snapshot; those of other symbols stay.

        Returns:
            Bars in the window of each restored symbol.

        Raises:
            ConfigError: not a snapshot, damaged, newer, or of another feature set or bar length; nothing has
                changed then.
            DataError: there is no room for all its symbols; nothing has changed then.
        """
        found = read_snapshot(data, self.histories)
        self.admit(found)
        self.histories.replace(found)
        for history in found.values():
            self._watch(history)
        return {symbol: history.length for symbol, history in found.items()}

    def adopt(self, other: Arbiter) -> None:
        """Go on with the histories of another Arbiter, whose place this one takes."""
        self.histories = other.histories
        self.always_ask = other.always_ask
        for symbol in self.histories.symbols():
            history = self.histories[symbol]
            with history.lock:
                self._watch(history)

    def health(self) -> Health:
        """How the members, the feed and the inputs do."""
        with self._counting:
            decided = dict(self._decided)
        return check_up(self, decided)

    def _take(self, bars: Mapping[str, BarLike]) -> dict[str, Moment]:
        """Check every bar, and append those that can be; each symbol's state is read under its lock."""
        now_ms = self.clock()
        checked = self._within_limit(
            {symbol: self._checked(symbol, bar, now_ms) for symbol, bar in bars.items()}
        )
        missing = self.left_out()
        moments = {
            symbol: self._unseen(symbol, found, missing)
            for symbol, found in checked.items()
            if isinstance(found, str)
        }
        # In one order for all callers, or two batches could wait for each other for ever.
        sound = dict(sorted((symbol, found) for symbol, found in checked.items() if isinstance(found, Bar)))
        with ExitStack() as locks:
            histories = {symbol: self.histories[symbol] for symbol in sound}
            for history in histories.values():
                locks.enter_context(history.lock)
            arrivals = {symbol: histories[symbol].add(bar) for symbol, bar in sound.items()}
            drifting = self._drifting(
                {symbol: histories[symbol].newest for symbol in sound if arrivals[symbol].accepted}
            )
            for symbol, bar in sound.items():
                if arrivals[symbol].accepted:
                    drift = drifting.get(symbol, ())
                    moments[symbol] = self._added(histories[symbol], bar, now_ms, missing, drift)
                else:
                    moments[symbol] = moment_of(histories[symbol], arrivals[symbol].reason, missing)
        return {symbol: moments[symbol] for symbol in bars}

    def _checked(self, symbol: str, value: BarLike, now_ms: int) -> Bar | str:
        """The bar, or why it cannot be taken in."""
        if not isinstance(symbol, str):
            return f"bad bar: its symbol is {type(symbol).__name__}, not text"
        try:
            bar = as_bar(value, symbol=symbol)
        except DataError as error:
            return f"bad bar: {error}"
        early = untimely(bar, now_ms=now_ms, step_ms=self.histories.step_ms, config=self.live)
        return early or bar

    def _within_limit(self, checked: Mapping[str, Bar | str]) -> dict[str, Bar | str]:
        """The same, but symbols for whose history there is no room are refused, the first come first."""
        sound = [symbol for symbol, found in checked.items() if isinstance(found, Bar)]
        left_out = self._open_histories(sound, all_or_none=False)
        return {**checked, **dict.fromkeys(left_out, TOO_MANY)}

    def _open_histories(self, symbols: Iterable[str], *, all_or_none: bool) -> list[str]:
        """Open those that are missing, as far as there is room; the symbols for which there is none."""
        new = [symbol for symbol in symbols if symbol not in self.histories]
        if not new:
            return []
        with self._admitting:  # or callers with new symbols each would count the same room
            new = [symbol for symbol in new if symbol not in self.histories]
            known, most = len(self.histories), self.live.max_symbols
            room = max(most - known, 0)
            if all_or_none and len(new) > room:
                raise DataError(
                    f"{len(new)} new symbols besides the {known} known ones: at most {most} have a history; "
                    "leave some out or raise max_symbols of LiveConfig."
                )
            for symbol in new[:room]:
                self.histories[symbol]
        return new[room:]

    def _added(
        self, history: SymbolHistory, bar: Bar, now_ms: int, missing: tuple[str, ...], drift: tuple[str, ...]
    ) -> Moment:
        """The symbol's state after `bar` was taken in."""
        behind = late(bar, now_ms=now_ms, step_ms=history.step_ms, config=self.live)
        warnings = (*missing, *interval_warning(history), *drift)
        return moment_of(history, LATE if behind else "", warnings)

    def _unseen(self, symbol: str, reason: str, missing: tuple[str, ...]) -> Moment:
        """A refused bar of a symbol, which may have no history and gets none for it."""
        if symbol in self.histories:
            history = self.histories[symbol]
            with history.lock:
                return moment_of(history, reason, missing)
        return Moment(reason=reason, timestamp=None, close=None, atr=None, warming_up=True, warnings=missing)

    def _drifting(self, newest: Mapping[str, Floats32]) -> dict[str, tuple[str, ...]]:
        """Warnings by symbol, after taking in raw features float32 [14] of the bars that are new."""
        if self.drift_watch is None:
            return {}
        self.drift_watch.see(newest)
        worst = self.drift_watch.worst(newest)
        return {symbol: (_in_words(drift),) for symbol, drift in worst.items() if drift.beyond}

    def _watch(self, history: SymbolHistory) -> None:
        """Start the drift watch of a symbol anew from the bars that its history keeps."""
        if self.drift_watch is not None and history.last_timestamp is not None:
            self.drift_watch.begin(history.symbol, history.features())

    def _judge(self, symbols: list[str], moments: Mapping[str, Moment]) -> dict[str, Decision]:
        """Decisions of symbols whose windows are full, by one pass."""
        inputs = ModelInputs(
            windows=self.scaler.transform(np.stack([_known(moments[name].window) for name in symbols])),
            context=np.stack([_known(moments[name].context) for name in symbols]),
        )
        decisions = self.decide_inputs(inputs, guarded=True)
        confidence = decisions.signals.directional_confidence
        return {
            name: self._decision(name, moments[name], decisions, row, float(confidence[row]))
            for row, name in enumerate(symbols)
        }

    def _held(self, symbol: str, moment: Moment) -> Decision:
        return Decision(
            symbol=symbol,
            action=Action.HOLD,
            confidence=0.0,
            hold_probability=1.0,
            source="none",
            reason=moment.reason,
            timestamp=moment.timestamp,
            close=moment.close,
            atr=moment.atr,
            warnings=moment.warnings,
            warming_up=moment.warming_up,
            model_hash=self.model_hash,
        )

    def _decision(
        self, symbol: str, moment: Moment, decisions: Decisions, row: int, confidence: float
    ) -> Decision:
        signals, source = decisions.signals, decisions.source[row]
        by_tft = source not in ("none", "xgboost")
        hold, buy, sell = signals.probabilities[row].tolist()
        return Decision(
            symbol=symbol,
            action=Action(int(decisions.actions[row])),
            confidence=confidence if source != "none" else 0.0,
            hold_probability=hold,
            probabilities=(hold, buy, sell),
            source=source,
            reason=decisions.reason[row],
            timestamp=moment.timestamp,
            close=moment.close,
            atr=moment.atr,
            warnings=moment.warnings,
            votes=decisions.vote(row),
            quantiles=signals.quantiles[row] if by_tft and signals.quantiles is not None else None,
            attention=signals.attention[row] if by_tft and signals.attention is not None else None,
            importances=signals.importances[row] if by_tft and signals.importances is not None else None,
            warming_up=moment.warming_up,
            model_hash=self.model_hash,
        )


def _known(value: Floats32 | None) -> Floats32:
    assert value is not None
    return value


def _in_words(drift: Drift) -> str:
    return f"drift: {drift.feature} {drift.score:.2f}, limit {drift.limit:.2f}"
