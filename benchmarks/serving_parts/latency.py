"""How long a call takes, on several routes in turn.

Turns are long: what a route leaves to do in the background, outcomes to a journal above all, would else be
done while the next route's call is timed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from serving_parts.feed import Feed, symbols
from serving_parts.routes import Route

UNTIMED = 5
"""Calls of each route before the first that counts."""
TURN = 150
"""Calls of a route in a row."""
REST_S = 5.0
"""Seconds between two routes, for what the last one has still to do."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of calls about so many symbols on one route, history update included."""

    route: str
    symbols: int
    milliseconds: tuple[float, ...]
    sources: dict[str, int] = field(default_factory=dict)
    """Decisions by who decided; a fallback's are faster and would flatter."""

    def percentile(self, share: float) -> float:
        """Milliseconds that so many percent of the calls stay below."""
        return float(np.percentile(self.milliseconds, share))


def latencies(
    routes: Sequence[Route], feed: Feed, count: int, calls: int, *, rest_s: float = REST_S
) -> list[Latency]:
    """`calls` calls about `count` symbols on each route, which take turns, so that all see the same load."""
    names = symbols(f"N{count}X", count)
    for route in routes:
        route.warm(names, feed.past)
    times: dict[str, list[float]] = {route.name: [] for route in routes}
    sources: dict[str, Counter[str]] = {route.name: Counter() for route in routes}
    steps = range(UNTIMED + calls)
    for turn in (steps[at : at + TURN] for at in range(0, len(steps), TURN)):
        for route in routes:
            for step in turn:
                bars = feed.bars(names, step)
                started = time.perf_counter()
                found = route.decide(bars)
                elapsed = time.perf_counter() - started
                if step >= UNTIMED:
                    times[route.name].append(elapsed * 1000)
                    sources[route.name] += found
            time.sleep(rest_s)
    return [
        Latency(
            route=route.name,
            symbols=count,
            milliseconds=tuple(times[route.name]),
            sources=dict(sources[route.name]),
        )
        for route in routes
    ]
