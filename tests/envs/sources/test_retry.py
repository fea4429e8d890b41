from __future__ import annotations

import pytest

from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.envs.sources.retry import Retry, RetryConfig, Transient


class Flaky:
    """Fails with each of `failures` in turn, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_waits_double_and_never_exceed_the_longest() -> None:
    """Without dice: 1, 2, 4, 8, 8 seconds where 8 is the longest."""
    pauses: list[float] = []
    retry = Retry(config=RetryConfig(attempts=6, longest_s=8.0), sleep=pauses.append, uniform=lambda: 0.0)
    assert retry.call(Flaky(*[Transient("down")] * 5), who="venue") == "answer"
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(("dice", "expected"), [(0.0, 4.0), (0.5, 3.0), (1.0, 2.0)])
def test_jitter_takes_away_up_to_its_share(dice: float, expected: float) -> None:
    """With jitter 0.5 the third wait, 4 s at most, lies between 2 and 4 s."""
    assert Retry(uniform=lambda: dice).wait_s(3, None) == expected


def test_a_wait_that_the_venue_asks_for_is_kept() -> None:
    """Retry-After is never cut short, and a longer wait of our own stays longer."""
    retry = Retry(uniform=lambda: 0.0)
    assert retry.wait_s(1, 30.0) == 30.0
    assert retry.wait_s(4, 0.5) == 8.0


def test_the_last_attempt_ends_with_one_sentence() -> None:
    """It says who, how often and why; there is no wait after it."""
    pauses: list[float] = []
    ask = Flaky(*[Transient("HTTP 502")] * 9)
    retry = Retry(config=RetryConfig(attempts=3), sleep=pauses.append, uniform=lambda: 0.0)
    with pytest.raises(SourceError, match=r"^venue gave no usable answer in 3 attempts \(HTTP 502\);"):
        retry.call(ask, who="venue")
    assert ask.calls == 3
    assert len(pauses) == 2


def test_a_ban_longer_than_our_patience_ends_the_work_at_once() -> None:
    """No request is sent into a ban: the venue would lengthen it."""
    ask = Flaky(Transient("HTTP 418", retry_after_s=7_200.0))
    with pytest.raises(SourceError, match="asks to wait 7,200 s"):
        Retry(sleep=lambda seconds: None).call(ask, who="venue")
    assert ask.calls == 1


def test_other_errors_are_not_asked_again() -> None:
    """A refusal or a bug passes through at the first attempt."""
    ask = Flaky(KeyError("x"))
    with pytest.raises(KeyError):
        Retry(sleep=lambda seconds: None).call(ask, who="venue")
    assert ask.calls == 1
