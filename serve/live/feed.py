"""`Feed`: where the live loop gets its bars. It can read, and nothing else."""

from __future__ import annotations

from typing import Protocol

from quantum_trader.envs.bars import Bar


class Feed(Protocol):
    """A venue's clock and its closed bars; every method may be called from any thread."""

    def now_ms(self) -> int:
        """The venue's clock, milliseconds since the epoch, UTC.

        Raises:
            FeedError: no answer.
        """
        ...

    def closed_bars(self, symbol: str, since_ms: int, until_ms: int) -> list[Bar]:
        """Bars that open at `since_ms` or later and have closed by `until_ms`, oldest first.

        A bar's funding rate is the one settled at its open. What the venue lacks is missing from the list.

        Raises:
            FeedError: no answer for this symbol.
        """
        ...

    def prepare(self, symbol: str, now_ms: int) -> None:
        """Ask for what can be known before the bar closes, so that less is to be asked then.

        Raises:
            FeedError: no answer; it is asked for again when the bar closes.
        """
        ...
