"""What becomes of the bars that a bot sends: taken into the history, or refused with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.history import INSUFFICIENT_HISTORY, SymbolHistory
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.envs.bars import Bar

LATE = "late bar"
OPEN = "bar still open"
FUTURE = "bar from the future"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One symbol as it stood when its bar had been taken in.

    Attributes:
        reason: why nobody needs to be asked; empty where the models are.
        window: float32 [60, 14], raw features; context: float32 [CONTEXT_SIZE]; None where `reason` says why.
        timestamp, close, atr: of the newest bar of the history.
        warming_up: some indicator stands at its neutral value.
        warnings: what the bot should know besides.
    """

    reason: str
    timestamp: int | None
    close: float | None
    atr: float | None
    warming_up: bool
    warnings: tuple[str, ...] = ()
    window: NDArray[np.float32] | None = None
    context: NDArray[np.float32] | None = None


def untimely(bar: Bar, *, now_ms: int, step_ms: int, config: LiveConfig) -> str:
    """Why a bar is too early; empty where it is not.

    A bar closes `step_ms` after its timestamp, its open. One whose close lies ahead is still open: its high,
    low, close and volume will change. One that has not even opened comes from a wrong clock or a wrong unit.
    """
    if bar.timestamp > now_ms + config.open_tolerance_ms:
        return FUTURE
    return OPEN if bar.timestamp + step_ms > now_ms + config.open_tolerance_ms else ""


def late(bar: Bar, *, now_ms: int, step_ms: int, config: LiveConfig) -> bool:
    """Whether a bar closed too long ago to decide on."""
    if config.max_delay_bars == 0:
        return False
    return now_ms - (bar.timestamp + step_ms) > config.max_delay_bars * step_ms


def interval_warning(history: SymbolHistory) -> tuple[str, ...]:
    """What to say of bars of another length than the models were trained on; nothing of missing ones."""
    spacing = history.spacing_ms
    if spacing is None or 0.75 <= spacing / history.step_ms <= 1.5:
        return ()
    return (f"bars come every {spacing / 1000:g} s, {history.step_ms / 1000:g} s are expected",)


def moment_of(history: SymbolHistory, reason: str, warnings: tuple[str, ...] = ()) -> Moment:
    """The symbol's state after its bar was taken in, or refused for `reason`; the caller holds its lock."""
    if not reason and not history.ready:
        reason = INSUFFICIENT_HISTORY
    return Moment(
        reason=reason,
        timestamp=history.last_timestamp,
        close=history.close,
        atr=history.atr,
        warming_up=history.warming_up or not history.ready,
        warnings=warnings,
        window=None if reason else history.window(),
        context=None if reason else history.context(),
    )
