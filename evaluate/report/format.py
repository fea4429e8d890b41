"""Numbers and moments as the report writes them; what is undefined is an en dash."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from quantum_trader.evaluate.bootstrap import Interval

UNDEFINED = "–"
MINUS = "−"
# A percent sign at the start of a line would belong to nothing.
PERCENT = "\N{NO-BREAK SPACE}%"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """Fixed decimals with a true minus sign; zero never carries a sign."""
    if not math.isfinite(value):
        return UNDEFINED
    text = f"{abs(value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def percent(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A fraction as percent."""
    text = number(value * 100, digits, signed=signed)
    return text if text == UNDEFINED else text + PERCENT


def count(value: float) -> str:
    """A whole number with thousands separators."""
    return number(value, 0)


def bounds(interval: Interval, *, digits: int = 1, signed: bool = False, as_percent: bool = True) -> str:
    """The interval alone, e.g. "48.1 … 52.3"; an en dash where it is undefined."""
    scale = 100 if as_percent else 1
    low, high = interval.low * scale, interval.high * scale
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, digits, signed=signed)} … {number(high, digits, signed=signed)}"


def day(moment_ms: float) -> str:
    """UTC date."""
    return utc(moment_ms).strftime("%Y-%m-%d")


def minute(moment_ms: float) -> str:
    """UTC date and time to the minute."""
    return utc(moment_ms).strftime("%Y-%m-%d %H:%M")


def utc(moment_ms: float) -> datetime:
    """Milliseconds since the epoch as an aware datetime."""
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC)


def bar_length(step_ms: int) -> str:
    """The length of a bar in words, e.g. "1 h" or "15 min"."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if step_ms % size == 0:
            return f"{step_ms // size} {unit}"
    return f"{step_ms} ms"


def listing(names: list[str]) -> str:
    """Names as a phrase: "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""


def shortened(name: str, length: int) -> str:
    """A name of at most `length` characters."""
    return name if len(name) <= length else name[: length - 1] + "…"
