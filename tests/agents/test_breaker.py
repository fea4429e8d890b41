"""A circuit breaker against a clock that the test moves."""

from __future__ import annotations

import threading

from quantum_trader.agents.breaker import CircuitBreaker


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, rest_s=30.0, longest_rest_s=100.0, clock=clock)


def test_it_opens_at_the_third_failure_in_a_row() -> None:
    """Two failures and a success start the count anew; three in a row close the door."""
    guard = breaker(Clock())
    for outcome in (False, False, True, False, False):
        if outcome:
            guard.succeeded()
        else:
            guard.failed("boom")
        assert guard.allows()
    guard.failed("boom")
    assert not guard.allows()
    assert guard.state == "open"
    assert guard.last_error == "boom"


def test_one_caller_tries_after_the_rest() -> None:
    """When the rest is over one call is let through; its success lets everybody through."""
    clock = Clock()
    guard = breaker(clock)
    for _ in range(3):
        guard.failed("boom")
    clock.now = 29.9
    assert not guard.allows()
    assert guard.retry_in_s < 0.2
    clock.now = 30.0
    assert guard.state == "half-open"
    assert [guard.allows() for _ in range(3)] == [True, False, False]
    guard.succeeded()
    assert guard.state == "closed"
    assert all(guard.allows() for _ in range(3))


def test_every_failed_trial_doubles_the_rest_up_to_the_longest() -> None:
    """Rests last 30, 60, then 100 seconds for ever; a success makes the next one 30 again."""
    clock = Clock()
    guard = breaker(clock)
    for _ in range(3):
        guard.failed("boom")
    for rest in (30.0, 60.0, 100.0, 100.0):
        assert guard.retry_in_s == rest
        clock.now += rest
        assert guard.allows()
        guard.failed("boom again")
    clock.now += 100.0
    assert guard.allows()
    guard.succeeded()
    for _ in range(3):
        guard.failed("boom")
    assert guard.retry_in_s == 30.0


def test_a_trial_that_never_reports_back_does_not_close_the_door_for_ever() -> None:
    """If the one caller vanishes another may try one rest later."""
    clock = Clock()
    guard = breaker(clock)
    for _ in range(3):
        guard.failed("boom")
    clock.now = 30.0
    assert guard.allows()
    clock.now = 59.0
    assert not guard.allows()
    clock.now = 60.0
    assert guard.allows()


def test_one_occasion_counts_once() -> None:
    """A hundred callers that waited for the same failed pass are one failure."""
    guard = breaker(Clock())
    for _ in range(100):
        guard.failed("slow", occasion=7)
    assert guard.failures == 1
    assert guard.allows()


def test_threads_see_one_trial() -> None:
    """Of many threads that ask at once while it is half-open exactly one may try."""
    clock = Clock()
    guard = breaker(clock)
    for _ in range(3):
        guard.failed("boom")
    clock.now = 30.0
    allowed: list[bool] = []
    start = threading.Barrier(16)

    def ask() -> None:
        start.wait()
        allowed.append(guard.allows())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 1
