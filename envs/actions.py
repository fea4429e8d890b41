"""The three actions: their numbers are the `Discrete(3)` actions and the column order of every `[B, 3]`."""

from __future__ import annotations

from enum import IntEnum


class Action(IntEnum):
    """HOLD leaves the position as it is, BUY buys one unit, SELL sells one unit."""

    HOLD = 0
    BUY = 1
    SELL = 2
