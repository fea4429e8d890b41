"""The steady clock against a system's clock that jumps."""

from __future__ import annotations

from quantum_trader.agents.clock import FOLLOW_AFTER_S, SteadyClock

HOUR_MS = 3_600_000


class Times:
    """A system's clock and a monotonic one that the test sets."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.seconds = 50.0

    def advance(self, seconds: float) -> None:
        self.wall += int(seconds * 1000)
        self.seconds += seconds


def clock(times: Times) -> SteadyClock:
    return SteadyClock(wall=lambda: times.wall, monotonic=lambda: times.seconds)


def test_it_follows_a_clock_that_goes_on() -> None:
    """Without a jump it is the system's clock, also where that drifts slowly."""
    times = Times()
    steady = clock(times)
    for _ in range(100):
        times.advance(10.0)
        times.wall += 5
        assert steady() == times.wall
    assert steady.jump_ms == 0


def test_a_jump_either_way_is_ridden_out() -> None:
    """An hour back or forward does not change the time given out, and is reported."""
    for jump in (-HOUR_MS, HOUR_MS):
        times = Times()
        steady = clock(times)
        before = steady()
        times.wall += jump
        times.advance(60.0)
        assert steady() == before + 60_000
        assert steady.jump_ms == jump
        times.wall -= jump
        assert steady() == before + 60_000
        assert steady.jump_ms == 0


def test_a_jump_that_lasts_is_believed() -> None:
    """After ten minutes the clock's new time is the time."""
    times = Times()
    steady = clock(times)
    steady()
    times.wall -= HOUR_MS
    steady()
    times.advance(FOLLOW_AFTER_S - 1)
    assert steady() == times.wall + HOUR_MS
    times.advance(1.0)
    assert steady() == times.wall
    assert steady.jump_ms == 0
