"""Resident memory, and what many decisions add to it."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from serving_parts.feed import Feed, symbols
from serving_parts.routes import Route

MARKS = 10
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Many decisions in a row on one route."""

    route: str
    decisions: int
    seconds: float
    resident_mb: tuple[float, ...]
    """Before the first, then after every tenth part of the decisions."""
    journal_mb: float
    """What the journal's files grew by."""
    sources: dict[str, int]

    @property
    def growth_mb(self) -> float:
        """From the first tenth on, when buffers and threads are there, to the end."""
        return self.resident_mb[-1] - self.resident_mb[1]


def soak(route: Route, feed: Feed, count: int, decisions: int, journal: Path | None = None) -> Soak:
    """So many decisions over `count` symbols, whose histories are full beforehand."""
    names = symbols("SOAK", count)
    route.warm(names, feed.past)
    calls = max(decisions // count, MARKS)
    marks, files = [_settled_mb()], _size_mb(journal)
    sources: Counter[str] = Counter()
    started = time.perf_counter()
    for step in range(calls):
        sources += route.decide(feed.bars(names, step))
        if (step + 1) * MARKS // calls > step * MARKS // calls:
            marks.append(_settled_mb())
    return Soak(
        route=route.name,
        decisions=sources.total(),
        seconds=time.perf_counter() - started,
        resident_mb=tuple(marks),
        journal_mb=_size_mb(journal) - files,
        sources=dict(sources),
    )


def resident_mb(process: int) -> float:
    """Megabytes that a process holds in memory; NaN where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def _settled_mb() -> float:
    gc.collect()
    return resident_mb(os.getpid())


def _size_mb(journal: Path | None) -> float:
    """The database and the files beside it."""
    if journal is None:
        return 0.0
    return sum(each.stat().st_size for each in journal.parent.glob(f"{journal.name}*")) / _MB
