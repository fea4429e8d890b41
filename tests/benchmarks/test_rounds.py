"""Measuring: alternating rounds, the best of which counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from peers.rounds import CHUNK, Contestant, endless, measure, rate


def test_rounds_alternate_and_the_best_counts() -> None:
    """After a warm-up all contestants run once, then all once more; each figure is its own best round."""
    calls: list[tuple[str, float, int]] = []
    speeds = {"a": iter([1.0, 5.0, 7.0, 6.0]), "b": iter([1.0, 30.0, 10.0, 20.0])}

    def running(name: str) -> Callable[[float, int], float]:
        def run(seconds: float, at_least: int) -> float:
            calls.append((name, seconds, at_least))
            return next(speeds[name])

        return run

    contestants = [Contestant(what=name, accounts=8, run=running(name)) for name in speeds]
    first, second = measure(contestants, rounds=3, seconds=0.5, warm_up=500)
    asked = [(0.0, 8 * 500), *[(0.5, 0)] * 3]
    assert calls == [(name, *each) for each in asked for name in ("a", "b")]
    assert (first.what, first.accounts, first.steps_per_second, first.rounds) == (
        "a",
        8,
        7.0,
        (5.0, 7.0, 6.0),
    )
    assert (second.steps_per_second, second.rounds) == (30.0, (30.0, 10.0, 20.0))


def test_rate_is_steps_over_the_time_they_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on until both time and steps are reached, and divides by the time that really passed."""
    clock = itertools.count(100.0, 0.25)
    monkeypatch.setattr("peers.rounds.time", SimpleNamespace(process_time=lambda: next(clock)))
    calls = itertools.count()

    def steps() -> int:
        next(calls)
        return 10

    for seconds, at_least, expected in ((1.0, 0, 4), (0.0, 0, 1), (0.0, 25, 3), (1.0, 25, 4)):
        calls = itertools.count()
        assert rate(steps, seconds, at_least) == 10 / 0.25
        assert next(calls) == expected


def test_action_batches_never_end() -> None:
    """Each call continues where the last one stopped, from the first batch again after the last."""
    upcoming = endless(range(100))
    taken = [*upcoming(), *upcoming()]
    assert taken == [i % 100 for i in range(2 * CHUNK)]
