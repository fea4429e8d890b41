"""What goes wrong in the live loop."""

from __future__ import annotations

from quantum_trader.envs.errors import QuantumTraderError


class FeedError(QuantumTraderError, RuntimeError):
    """The feed did not answer for a symbol; asking again later may help.

    Args:
        reason: what happened, in a few words.
        retry_after_s: seconds that the venue asked to wait; None if it said nothing.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class StoreError(QuantumTraderError, RuntimeError):
    """The folder of a live session cannot be read or written: the message says why and what to do."""


class TurnedAwayError(FeedError):
    """The venue does not serve this country or address: asking again changes nothing."""
