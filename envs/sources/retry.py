"""Asking again: how often, and how long to wait in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from quantum_trader.envs.sources.errors import SourceError

Answer = TypeVar("Answer")


class Transient(Exception):
    """A failure that may pass: the network, the venue's servers, or a limit on requests.

    Args:
        reason: what happened, in a few words.
        retry_after_s: seconds that the venue asked to wait; None if it said nothing.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How patient a source is."""

    attempts: int = 6
    """Requests in all before giving up; raising it outlasts longer outages."""
    first_s: float = 1.0
    """Seconds before the second attempt; each further wait is twice as long."""
    longest_s: float = 60.0
    """No wait of our own is longer; a wait that the venue asks for may be."""
    jitter: float = 0.5
    """Share of each wait that is drawn at random, in [0, 1], so that many clients do not return at once."""
    patience_s: float = 300.0
    """A venue that asks to wait longer than this ends the work instead."""


@dataclass(frozen=True, kw_only=True)
class Retry:
    """`call` with patience; the clock and the dice can be replaced."""

    config: RetryConfig = RetryConfig()
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[], float] = random.random
    """Draws from [0, 1)."""

    def call(self, ask: Callable[[], Answer], *, who: str) -> Answer:
        """The first answer of `ask` that is not `Transient`.

        Raises:
            SourceError: every attempt failed, or the venue asked for more patience than there is.
        """
        for attempt in range(1, self.config.attempts + 1):
            try:
                return ask()
            except Transient as failure:
                self._wait(failure, attempt, who)
        raise AssertionError("unreachable: the last attempt raises")

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds to wait after attempt number `attempt` (from 1); never less than the venue asked for."""
        config = self.config
        longest = min(config.first_s * 2.0 ** (attempt - 1), config.longest_s)
        own = longest * (1.0 - config.jitter * self.uniform())
        return own if retry_after_s is None else max(retry_after_s, own)

    def _wait(self, failure: Transient, attempt: int, who: str) -> None:
        asked = failure.retry_after_s
        if asked is not None and asked > self.config.patience_s:
            raise SourceError(
                f"{who} limits requests from this address and asks to wait {asked:,.0f} s "
                f"({failure.reason}); run the same command again after that."
            ) from failure
        if attempt >= self.config.attempts:
            plural = "" if attempt == 1 else "s"
            raise SourceError(
                f"{who} gave no usable answer in {attempt} attempt{plural} ({failure.reason}); check the "
                "connection and run the same command again."
            ) from failure
        self.sleep(self.wait_s(attempt, asked))
