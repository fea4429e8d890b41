"""Measuring several environments so that they see the same load on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeVar

Batch = TypeVar("Batch")

CHUNK = 64
"""Batches of actions between two looks at the clock."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Something to measure."""

    what: str
    """Name of the figure."""
    accounts: int
    """Environments stepped at once."""
    run: Callable[[float, int], float]
    """Takes seconds and steps, goes on until both are reached, and returns steps per second; see `rate`."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement."""

    what: str
    accounts: int
    steps_per_second: float
    """The best round's, since other load can only slow a round down."""
    rounds: tuple[float, ...]
    """Steps per second of every round, in the order they were run."""


def measure(contestants: Sequence[Contestant], rounds: int, seconds: float, warm_up: int) -> list[Figure]:
    """Every contestant's best round. Rounds alternate: all run once, then all run once more, and so on.

    Args:
        contestants: what to measure.
        rounds: rounds of each.
        seconds: length of a round.
        warm_up: steps that each account takes beforehand, so that code is compiled, memory was touched, and
            episodes no longer all stand at their beginning.
    """
    for contestant in contestants:
        contestant.run(0.0, warm_up * contestant.accounts)
    rates = [[contestant.run(seconds, 0) for contestant in contestants] for _ in range(rounds)]
    return [
        Figure(what=each.what, accounts=each.accounts, steps_per_second=max(found), rounds=found)
        for each, found in zip(contestants, zip(*rates, strict=True), strict=True)
    ]


def rate(steps: Callable[[], int], seconds: float, at_least: int = 0) -> float:
    """Steps per second of processor time, so that waiting for a busy core is not counted.

    Args:
        steps: takes some steps and returns how many, summed over the accounts; called at least once.
        seconds: processor time to go on for.
        at_least: steps to go on for.
    """
    done, start = 0, time.process_time()
    while True:
        done += steps()
        elapsed = time.process_time() - start
        if elapsed >= seconds and done >= at_least:
            return done / max(elapsed, 1e-9)


def endless(batches: Sequence[Batch]) -> Callable[[], Iterator[Batch]]:
    """A function whose every call gives the next `CHUNK` batches, from the first again after the last."""
    stream = cycle(batches)
    return lambda: islice(stream, CHUNK)
