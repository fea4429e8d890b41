"""`Feed`: where the live loop gets its bars. It can read, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from quantum_trader.envs.bars import Bar, Floats
from quantum_trader.envs.paper_account import Mark

UNMARKED = "the exchange tells no mark prices"


@dataclass(frozen=True, kw_only=True)
class MarkedBar(Bar):
    """A bar with its mark price."""

    mark: Mark | None = None
    """None where it was asked for and is not known."""
    missing: str = ""
    """Why it is not known; empty where it is."""

    def plain(self) -> Bar:
        """The bar alone, which is all that models and the journal see."""
        return Bar(
            timestamp=self.timestamp,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            volume=self.volume,
            funding_rate=self.funding_rate,
        )


@dataclass(frozen=True, kw_only=True)
class Settlements:
    """Funding that a venue says has settled from `since_ms` on."""

    since_ms: int = 0
    rows: Floats = field(default_factory=lambda: np.empty((0, 2)))
    """float64 [k, 2], ascending: moment in milliseconds, and rate."""


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

    def marked(self, symbol: str, bars: Sequence[Bar]) -> list[Bar]:
        """`bars` as `MarkedBar`s, where mark prices are wanted; they never fail for want of one.

        Raises:
            TurnedAwayError: the venue does not serve this place.
        """
        ...

    def prepare(self, symbol: str, now_ms: int) -> Settlements:
        """Ask for what can be known before the bar closes, so that less is to be asked then.

        Returns:
            The funding of the last two days or more, for bars whose rate was published late.

        Raises:
            FeedError: no answer; it is asked for again when the bar closes.
        """
        ...
