"""Numbers and times as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from quantum_trader.evaluate.bootstrap import Interval

TOO_FEW = "n too small"


def at(moment_ms: float) -> str:
    """A moment as "2026-01-31 13:00" UTC; in milliseconds where no calendar has it."""
    try:
        return datetime.fromtimestamp(float(moment_ms) / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{moment_ms} ms"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; "n/a" where it is not known."""
    return f"{share * 100:.{digits}f} %" if math.isfinite(share) else "n/a"


def interval(found: Interval, digits: int = 1) -> str:
    """A share with its bounds, in percent."""
    if not math.isfinite(found.estimate):
        return "n/a"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{percent(found.estimate, digits)} ({TOO_FEW} for an interval)"
    low, high = found.low * 100, found.high * 100
    return f"{percent(found.estimate, digits)} [{low:.{digits}f}, {high:.{digits}f}]"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def duration(milliseconds: float) -> str:
    """A stretch of time in its largest sensible unit."""
    for unit, size in (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)):
        if milliseconds >= 2 * size:
            return f"{milliseconds / size:.0f} {unit}"
    return f"{milliseconds / 1000:.0f} seconds"
