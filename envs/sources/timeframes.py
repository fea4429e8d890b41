"""Lengths of bars by the names that venues use."""

from __future__ import annotations

from quantum_trader.envs.errors import ConfigError

HOUR_MS = 3_600_000

TIMEFRAMES: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": HOUR_MS,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000,
    "1w": 604_800_000,
}
"""Name -> milliseconds; months are missing because they differ in length."""


def timeframe_ms(timeframe: str) -> int:
    """Milliseconds of a bar.

    Raises:
        ConfigError: there is no such timeframe.
    """
    if timeframe not in TIMEFRAMES:
        raise ConfigError(f"timeframe {timeframe!r} is unknown; choose one of {', '.join(TIMEFRAMES)}.")
    return TIMEFRAMES[timeframe]
