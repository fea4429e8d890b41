"""How many bars of a symbol went by without a decision, hours in which its market is closed not counted."""

from __future__ import annotations

from quantum_trader.envs.presets import guess_preset

_HOUR_MS = 3_600_000
_WEEK_MS = 7 * 24 * _HOUR_MS
# 1970-01-01 was a Thursday. Trading stops on Friday at 21:00 or 22:00 UTC and goes on late on Sunday; an
# hour more at either end forgives the first and last bars, which are often missing.
_CLOSES_MS = (24 + 20) * _HOUR_MS
_OPENS_MS = 4 * 24 * _HOUR_MS


def missed_bars(symbol: str, decided_ms: int, now_ms: int, step_ms: int) -> float:
    """Bars of `step_ms` since a decision, weekends left out where the symbol's market observes them.

    Args:
        symbol: tells the session, by the contract that goes with the name.
        decided_ms, now_ms: milliseconds since the epoch, UTC.
        step_ms: length of a bar, milliseconds.
    """
    open_ms = now_ms - decided_ms
    if guess_preset(symbol).session != "24/7":
        open_ms -= _closed(now_ms) - _closed(decided_ms)
    return max(open_ms, 0) / step_ms


def _closed(moment_ms: int) -> int:
    """Milliseconds of all weekends since the epoch up to a moment."""
    weeks, within = divmod(moment_ms, _WEEK_MS)
    return weeks * (_OPENS_MS - _CLOSES_MS) + min(max(within - _CLOSES_MS, 0), _OPENS_MS - _CLOSES_MS)
