"""What was measured, as text and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from serving_parts.crowd import Crowd
from serving_parts.latency import Latency
from serving_parts.memory import Soak

FALLBACKS = ("xgboost", "none", "not journaled")
"""Sources that show that something was left out or went wrong."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Milliseconds that 99 % of the calls of one kind should stay below; half of it is aimed for."""

    route: str
    symbols: int
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All figures of a run."""

    machine: dict[str, Any]
    versions: dict[str, str]
    options: dict[str, Any]
    limits: tuple[Limit, ...]
    latencies: list[Latency] = field(default_factory=list)
    crowd: Crowd | None = None
    soaks: list[Soak] = field(default_factory=list)

    def text(self) -> str:
        """For a terminal."""
        return "\n".join(self._lines())

    def json(self) -> str:
        """Everything, each call's milliseconds too."""
        document = asdict(self) | {
            "percentiles": [_summary(each) for each in self.latencies],
            "verdicts": [
                {**asdict(limit), "met": _met(found, limit.p99_ms)} for limit, found in self._judged()
            ],
        }
        if self.crowd is not None:
            document["crowd"]["per_second"] = self.crowd.per_second
        return json.dumps(_without_nan(document), indent=2)

    def _lines(self) -> Iterator[str]:
        yield "  ".join(f"{key}: {value}" for key, value in self.machine.items())
        yield "  ".join(f"{name} {number}" for name, number in self.versions.items())
        yield "\nMilliseconds of a call, history update included; the ways took turns"
        yield f"{'symbols':>8}  {'way':<14}{'calls':>6}{'least':>9}{'p50':>9}{'p95':>9}{'p99':>9}{'worst':>9}"
        for each in self.latencies:
            figures = (
                min(each.milliseconds),
                each.percentile(50),
                each.percentile(95),
                each.percentile(99),
                max(each.milliseconds),
            )
            numbers = "".join(f"{figure:>9.1f}" for figure in figures) + _odd(each.sources)
            yield f"{each.symbols:>8}  {each.route:<14}{len(each.milliseconds):>6}{numbers}"
        for limit, found in self._judged():
            yield (
                f"{_count(limit.symbols)} {limit.route}, p99 {found.percentile(99):.1f} ms: "
                f"limit {limit.p99_ms:g} ms: {_word(found, limit.p99_ms)}; "
                f"half of it, {limit.p99_ms / 2:g} ms: {_word(found, limit.p99_ms / 2)}"
            )
        yield from self._crowd_lines()
        yield from self._soak_lines()

    def _crowd_lines(self) -> Iterator[str]:
        if self.crowd is None:
            return
        found = self.crowd
        yield f"\n{found.clients} clients at once over HTTP, a symbol each, for {found.seconds:.1f} s"
        yield (
            f"{len(found.milliseconds)} decisions, {found.per_second:.0f} a second, p50 "
            f"{found.percentile(50):.0f} ms, p99 {found.percentile(99):.0f} ms{_odd(found.sources)}"
        )
        yield "errors: " + (", ".join(f"{n} x {what}" for what, n in found.errors.items()) or "none")
        begun, half, end = found.server_mb[0], found.server_mb[len(found.server_mb) // 2], found.server_mb[-1]
        yield (
            f"resident memory of the service, MB: {begun:.1f} before, {half:.1f} after half the time, "
            f"{end:.1f} at the end"
        )

    def _soak_lines(self) -> Iterator[str]:
        if self.soaks:
            yield "\nMemory over many decisions, MB resident"
        for each in self.soaks:
            begun, warm, end = each.resident_mb[0], each.resident_mb[1], each.resident_mb[-1]
            yield (
                f"{each.route}: {each.decisions} decisions in {each.seconds:.0f} s: {begun:.1f} before, "
                f"{warm:.1f} after a tenth, {end:.1f} at the end: {each.growth_mb:+.1f} MB, "
                f"{each.growth_mb * 1e6 / (0.9 * each.decisions):+.0f} bytes a decision{_odd(each.sources)}"
            )
        if len(self.soaks) > 1:
            plain, journaled = self.soaks[0], self.soaks[1]
            yield (
                f"the journal's share: {journaled.growth_mb - plain.growth_mb:+.1f} MB of memory, "
                f"{journaled.journal_mb:.1f} MB of files "
                f"({journaled.journal_mb * 1e6 / journaled.decisions:.0f} bytes a decision)"
            )

    def _judged(self) -> Iterator[tuple[Limit, Latency]]:
        measured = {(each.route, each.symbols): each for each in self.latencies}
        for limit in self.limits:
            if (limit.route, limit.symbols) in measured:
                yield limit, measured[limit.route, limit.symbols]


def _summary(found: Latency) -> dict[str, Any]:
    return {
        "route": found.route,
        "symbols": found.symbols,
        "p50_ms": found.percentile(50),
        "p99_ms": found.percentile(99),
    }


def _odd(sources: dict[str, int]) -> str:
    """What to know of decisions that were not made by the pool, or the TFT alone."""
    odd = {name: count for name, count in sources.items() if name in FALLBACKS}
    if not odd:
        return ""
    total = sum(sources.values())
    return "   (of " + str(total) + ": " + ", ".join(f"{count} {name}" for name, count in odd.items()) + ")"


def _met(found: Latency, limit_ms: float) -> bool:
    return found.percentile(99) < limit_ms


def _word(found: Latency, limit_ms: float) -> str:
    return "met" if _met(found, limit_ms) else "not met"


def _count(symbols: int) -> str:
    return "one symbol" if symbols == 1 else f"{symbols} symbols"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
