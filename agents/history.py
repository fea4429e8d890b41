"""Live history: one feature stream and one 60-bar window per symbol, fed bar by bar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.context import CONTEXT_SIZE, context_rows
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.envs.stream import FeatureStream
from quantum_trader.envs.windows import MAX_GAP_BARS, WINDOW, is_break

BarLike = Bar | Mapping[str, Any] | pd.Series

HOUR_MS = 3_600_000
INSUFFICIENT_HISTORY = "insufficient history"


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
    """

    def __init__(self, symbol: str, contract: FuturesContract, *, step_ms: int = HOUR_MS) -> None:
        self.symbol = symbol
        self.contract = contract
        self.step_ms = step_ms
        self.last_timestamp: int | None = None
        self._stream = FeatureStream(contract, step_ms)
        self._window = np.zeros((WINDOW, len(FEATURE_NAMES)), dtype=np.float32)
        self._context = np.zeros(CONTEXT_SIZE, dtype=np.float32)
        self._filled = 0

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

    def add(self, bar: Bar) -> Arrival:
        """Append one closed bar; refuse one that is not newer than the last."""
        if self.last_timestamp is not None and bar.timestamp <= self.last_timestamp:
            word = "duplicate" if bar.timestamp == self.last_timestamp else "out-of-order"
            return Arrival(accepted=False, reason=f"{word} bar")
        broken = self.last_timestamp is not None and is_break(
            self.last_timestamp, bar.timestamp, self.step_ms, self.contract, MAX_GAP_BARS
        )
        row = self._stream.update(bar)
        self._push(row.features, 0 if broken else self._filled)
        moment = np.array([bar.timestamp], dtype=np.int64)
        self._context = context_rows(row.static[None], moment, self.step_ms)[0]
        self.last_timestamp = bar.timestamp
        return Arrival(accepted=True, reason="gap in the data" if broken else "")

    def window(self) -> NDArray[np.float32]:
        """float32 [WINDOW, 14], raw features, oldest first; a copy."""
        return self._window.copy()

    def context(self) -> NDArray[np.float32]:
        """float32 [CONTEXT_SIZE] of the newest bar; a copy."""
        return self._context.copy()

    def _push(self, row: NDArray[np.float32], kept: int) -> None:
        self._window[:-1] = self._window[1:]
        self._window[-1] = row
        self._filled = min(kept + 1, WINDOW)


class LiveHistories:
    """Histories of many symbols, created when a symbol is first seen."""

    def __init__(
        self, *, contracts: Mapping[str, FuturesContract] | None = None, step_ms: int = HOUR_MS
    ) -> None:
        self._contracts = dict(contracts or {})
        self._step_ms = step_ms
        self._histories: dict[str, SymbolHistory] = {}

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._histories

    def __getitem__(self, symbol: str) -> SymbolHistory:
        if symbol not in self._histories:
            contract = self._contracts.get(symbol) or guess_preset(symbol)
            self._histories[symbol] = SymbolHistory(symbol, contract, step_ms=self._step_ms)
        return self._histories[symbol]

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

    def extend(self, symbol: str, bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars) -> int:
        """Append one bar or many, oldest first; those already known are skipped.

        Args:
            symbol: whose bars they are.
            bars: a bar, several, `Bars`, or a DataFrame with a timestamp column or a datetime index.

        Returns:
            Bars now in the symbol's window, at most `WINDOW`.

        Raises:
            DataError: a bar is incomplete or contradicts itself; those before it are kept.
        """
        for bar in _each(bars):
            self.add(symbol, bar)
        return self[symbol].length

    def inputs(self, symbols: Sequence[str], scaler: FeatureScaler) -> ModelInputs:
        """One batch for `symbols`, each of which must be `ready`."""
        windows = np.stack([self._histories[symbol].window() for symbol in symbols])
        context = np.stack([self._histories[symbol].context() for symbol in symbols])
        return ModelInputs(windows=scaler.transform(windows), context=context)


def _each(bars: BarLike | Iterable[BarLike] | pd.DataFrame | Bars) -> Iterable[BarLike]:
    if isinstance(bars, (Bar, Mapping, pd.Series)):
        return [bars]
    if isinstance(bars, Bars):
        return (bars.bar(index) for index in range(len(bars)))
    if isinstance(bars, pd.DataFrame):
        named = bars if "timestamp" in bars else bars.rename_axis("timestamp").reset_index()
        records: list[BarLike] = named.to_dict("records")  # type: ignore[assignment]
        return records
    return bars
