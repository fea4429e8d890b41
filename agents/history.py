"""Live history: one feature stream and one 60-bar window per symbol, fed bar by bar."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.bar_store import BarStore, fault_in, table_of
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.context import CONTEXT_SIZE, context_row
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.features import FEATURE_NAMES, compute_table
from quantum_trader.envs.live_bar import TIME_FIELDS, as_bar
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.envs.stream import FeatureStream
from quantum_trader.envs.windows import MAX_GAP_BARS, WINDOW, find_breaks, is_break

BarLike = Bar | Mapping[str, Any] | pd.Series

HOUR_MS = 3_600_000
INSUFFICIENT_HISTORY = "insufficient history"
NO_TIMES = "The frame has no times: expected a column timestamp or date, or a datetime index; add one."
KEPT_BARS = 3_000
"""Bars kept of a symbol: what EMA200 still remembers of older ones, 1e-13, is less than float32 can tell."""
SPARE_BARS = 1_000
"""Bars that may come on top before the oldest are forgotten all at once."""
_SPACED = 6


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What became of a bar that was offered to a history."""

    accepted: bool
    """False where the bar was refused; the history is then as it was."""
    reason: str
    """Why it was refused, or what its acceptance reset; empty where there is nothing to say."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What became of one bar per symbol."""

    ready: list[str]
    """Symbols whose bar was taken in and whose window is full, in the order given."""
    held_up: dict[str, str]
    """Why each of the others cannot be decided."""


class SymbolHistory:
    """The newest `WINDOW` feature rows of one symbol, equal to the bit to what batch computation gives.

    A bar that is not newer than the last one is refused. A bar after an over-long gap starts a new window,
    since no window may span such a gap; the indicators themselves go on, as they do in training.

    The last bars are kept, so that the history can be saved and opened again to the same bits. When there
    are `SPARE_BARS` more than `kept_bars`, the oldest are forgotten and the indicators opened anew on the
    rest, which no float32 feature can tell.

    Args:
        symbol, contract: of the instrument.
        step_ms: length of a bar.
        kept_bars: bars that stay when the oldest are forgotten.

    Attributes:
        lock: held while the history changes or several of its parts are read together.
    """

    def __init__(
        self,
        symbol: str,
        contract: FuturesContract,
        *,
        step_ms: int = HOUR_MS,
        kept_bars: int = KEPT_BARS,
    ) -> None:
        self.symbol = symbol
        self.contract = contract
        self.step_ms = step_ms
        self.kept_bars = kept_bars
        self.last_timestamp: int | None = None
        self.close: float | None = None
        self.atr: float | None = None
        self.lock = threading.RLock()
        self._stream = FeatureStream(contract, step_ms)
        self._window = np.zeros((WINDOW, len(FEATURE_NAMES)), dtype=np.float32)
        self._context = np.zeros(CONTEXT_SIZE, dtype=np.float32)
        self._filled = 0
        self._store = BarStore()

    @property
    def length(self) -> int:
        """Bars in the current window, 0 to `WINDOW`."""
        return self._filled

    @property
    def ready(self) -> bool:
        """Whether the window is full."""
        return self._filled == WINDOW

    @property
    def warming_up(self) -> bool:
        """Whether some indicator in the window stands at its neutral value for want of bars."""
        return bool(np.isnan(self._window).any())

    @property
    def newest(self) -> NDArray[np.float32]:
        """float32 [14]: raw features of the newest bar, NaN in warm-up; a view."""
        newest: NDArray[np.float32] = self._window[-1]
        return newest

    @property
    def spacing_ms(self) -> float | None:
        """Shortest time between two of the last six bars, milliseconds; None while there are fewer."""
        newest: list[float] = self._store.table[-_SPACED:, 0].tolist()
        if len(newest) < _SPACED:
            return None
        return min(later - earlier for earlier, later in pairwise(newest))

    @property
    def bars(self) -> Bars:
        """The bars that are kept; a copy."""
        with self.lock:
            return self._store.bars(self.symbol, self.step_ms)

    def refusal(self, bar: Bar) -> str:
        """Why the bar would be refused; empty where it would not."""
        if self.last_timestamp is None or bar.timestamp > self.last_timestamp:
            return ""
        return "duplicate bar" if bar.timestamp == self.last_timestamp else "out-of-order bar"

    def add(self, bar: Bar) -> Arrival:
        """Append one closed bar; refuse one that is not newer than the last."""
        with self.lock:
            refused = self.refusal(bar)
            if refused:
                return Arrival(accepted=False, reason=refused)
            broken = self.last_timestamp is not None and is_break(
                self.last_timestamp, bar.timestamp, self.step_ms, self.contract, MAX_GAP_BARS
            )
            row = self._stream.update(bar)
            self._push(row.features, 0 if broken else self._filled)
            self._context = context_row(row.static, bar.timestamp, self.step_ms)
            self._note(bar, row.atr)
            self._store.append(bar)
            if len(self._store) >= self.kept_bars + SPARE_BARS:
                self._store.keep_last(self.kept_bars)
                self._open(self._store.bars(self.symbol, self.step_ms), self._filled)
            return Arrival(accepted=True, reason="gap in the data" if broken else "")

    def begin(self, bars: Bars) -> None:
        """Take in a whole past at once; the same as adding its bars one by one to a new history.

        Args:
            bars: T >= 1 bars of the symbol; what was known before is forgotten.
        """
        spare = max(len(bars) - self.kept_bars, 0) // SPARE_BARS * SPARE_BARS
        breaks = np.flatnonzero(find_breaks(bars, self.contract, MAX_GAP_BARS))
        filled = len(bars) - (int(breaks[-1]) if len(breaks) else 0)
        self.reopen(bars[spare:], min(filled, WINDOW))

    def reopen(self, bars: Bars, filled: int) -> None:
        """The history that kept `bars` and had `filled` of them in its window."""
        with self.lock:
            self._store = BarStore.of(bars)
            self._open(bars, filled)

    def features(self) -> NDArray[np.float32]:
        """float32 [T, 14]: raw features of the kept bars, NaN in warm-up."""
        with self.lock:
            return compute_table(self.bars, self.contract).features

    def window(self) -> NDArray[np.float32]:
        """float32 [WINDOW, 14], raw features, oldest first; a copy."""
        return self._window.copy()

    def context(self) -> NDArray[np.float32]:
        """float32 [CONTEXT_SIZE] of the newest bar; a copy."""
        return self._context.copy()

    def _open(self, bars: Bars, filled: int) -> None:
        self._stream, table = FeatureStream.from_bars(self.contract, bars)
        newest = table.features[-WINDOW:]
        self._window = np.zeros_like(self._window)
        self._window[WINDOW - len(newest) :] = newest
        self._filled = filled
        self._context = context_row(table.static[-1], int(bars.timestamp[-1]), self.step_ms)
        self._note(bars.bar(-1), float(table.atr[-1]))

    def _note(self, bar: Bar, atr: float) -> None:
        self.last_timestamp, self.close = bar.timestamp, bar.close
        self.atr = atr if math.isfinite(atr) else None

    def _push(self, row: NDArray[np.float32], kept: int) -> None:
        self._window[:-1] = self._window[1:]
        self._window[-1] = row
        self._filled = min(kept + 1, WINDOW)


class LiveHistories:
    """Histories of many symbols, created when a symbol is first seen; safe to use from several threads."""

    def __init__(
        self,
        *,
        contracts: Mapping[str, FuturesContract] | None = None,
        step_ms: int = HOUR_MS,
        kept_bars: int = KEPT_BARS,
    ) -> None:
        self.step_ms = step_ms
        self._contracts = dict(contracts or {})
        self._kept_bars = kept_bars
        self._histories: dict[str, SymbolHistory] = {}
        self._creating = threading.Lock()

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._histories

    def __getitem__(self, symbol: str) -> SymbolHistory:
        known = self._histories.get(symbol)
        if known is not None:
            return known
        with self._creating:
            return self._histories.setdefault(symbol, self.new(symbol))

    def __len__(self) -> int:
        return len(self._histories)

    def new(self, symbol: str) -> SymbolHistory:
        """An empty history of `symbol` that is not among these."""
        return SymbolHistory(symbol, self.contract(symbol), step_ms=self.step_ms, kept_bars=self._kept_bars)

    def contract(self, symbol: str) -> FuturesContract:
        """The contract given for `symbol`, else the one its name suggests."""
        return self._contracts.get(symbol) or guess_preset(symbol)

    def replace(self, histories: Mapping[str, SymbolHistory]) -> None:
        """Take these histories in the place of those of the same symbols."""
        with self._creating:
            self._histories |= histories

    def symbols(self) -> list[str]:
        """Symbols seen so far, in order of first sight."""
        return list(self._histories)

    def add(self, symbol: str, bar: BarLike) -> Arrival:
        """Validate and append one closed bar.

        Raises:
            DataError: the bar is incomplete or contradicts itself; the history is then as it was.
        """
        return self[symbol].add(as_bar(bar, symbol=symbol))

    def take(self, bars: Mapping[str, BarLike]) -> Round:
        """Append one closed bar per symbol.

        All are checked before the first is taken in: a bad bar leaves every history as it was.

        Raises:
            DataError: a bar is incomplete or contradicts itself.
        """
        checked = {symbol: as_bar(bar, symbol=symbol) for symbol, bar in bars.items()}
        arrivals = {symbol: self[symbol].add(bar) for symbol, bar in checked.items()}
        ready = [symbol for symbol in bars if arrivals[symbol].accepted and self[symbol].ready]
        held_up = {
            symbol: arrival.reason if self[symbol].ready and arrival.reason else INSUFFICIENT_HISTORY
            for symbol, arrival in arrivals.items()
            if symbol not in ready
        }
        return Round(ready=ready, held_up=held_up)

    def extend(
        self,
        symbol: str,
        bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars,
        *,
        newest_ms: float = math.inf,
    ) -> int:
        """Append one bar or many, oldest first; those already known are skipped.

        Args:
            symbol: whose bars they are.
            bars: a bar, several, `Bars`, or a DataFrame with a column timestamp or date or a datetime index.
            newest_ms: bars that open later have not closed yet and are left out; `Bars` are closed bars.

        Returns:
            Bars now in the symbol's window, at most `WINDOW`.

        Raises:
            DataError: a bar is incomplete or contradicts itself; those before it are kept. Or bars are not in
                order, as venues that answer newest first have them; nothing is kept then.
        """
        if isinstance(bars, Bars) and self._opens_at_once(symbol, bars):
            self[symbol].begin(bars)
        else:
            sound, fault = in_order(symbol, bars)
            for bar in sound:
                if isinstance(bars, Bars) or bar.timestamp <= newest_ms:
                    self[symbol].add(bar)
            if fault is not None:
                raise fault
        return self[symbol].length

    def inputs(self, symbols: Sequence[str], scaler: FeatureScaler) -> ModelInputs:
        """One batch for `symbols`, each of which must be `ready`."""
        windows = np.stack([self._histories[symbol].window() for symbol in symbols])
        context = np.stack([self._histories[symbol].context() for symbol in symbols])
        return ModelInputs(windows=scaler.transform(windows), context=context)

    def _opens_at_once(self, symbol: str, bars: Bars) -> bool:
        """Whether `bars` are the whole past of a symbol not seen before, and as sound as `Bars` promise."""
        fresh = symbol not in self._histories or self._histories[symbol].last_timestamp is None
        if not (fresh and len(bars) > 0 and bars.step_ms == self.step_ms):
            return False
        return not fault_in(table_of(bars))


def each_bar(bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars) -> Iterable[BarLike]:
    """The bars one by one, unchecked; a frame has its times in a column timestamp or date or in its index.

    Raises:
        DataError: a frame without times.
    """
    if isinstance(bars, (Bar, Mapping, pd.Series)):
        return [bars]
    if isinstance(bars, Bars):
        return (bars.bar(index) for index in range(len(bars)))
    return _records(bars) if isinstance(bars, pd.DataFrame) else bars


def in_order(
    symbol: str, bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars
) -> tuple[list[Bar], DataError | None]:
    """The checked bars up to the first that is at fault, and what is wrong with that one.

    Raises:
        DataError: one opens before the one ahead of it.
    """
    sound: list[Bar] = []
    try:
        for value in each_bar(bars):
            sound.append(as_bar(value, symbol=symbol))
            if len(sound) > 1 and sound[-1].timestamp < sound[-2].timestamp:
                break
        else:
            return sound, None
    except DataError as fault:
        return sound, fault
    raise DataError(
        f"{symbol}: bar {len(sound)} opens before the one ahead of it; give the oldest first, for instance "
        'frame.sort_values("timestamp").'
    )


def time_column(frame: pd.DataFrame) -> str | None:
    """The column of a frame that has its times; None where its index has them.

    Raises:
        DataError: it has no times.
    """
    named = next((name for name in TIME_FIELDS if name in frame), None)
    if named is None and not pd.api.types.is_datetime64_any_dtype(frame.index):
        raise DataError(NO_TIMES)
    return named


def _records(frame: pd.DataFrame) -> list[BarLike]:
    """The rows of a frame, whose times are in a column timestamp or date or in the index."""
    if time_column(frame) is None:
        frame = frame.rename_axis("timestamp").reset_index()
    records: list[BarLike] = frame.to_dict("records")  # type: ignore[assignment]
    return records
