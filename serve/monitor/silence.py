"""Silence: HOLD for so long that a healthy Arbiter would hardly ever be as quiet.

Quiet spells are no coin flips: a calm market makes all symbols hold, for hours. So the unit is a bar at which
nobody signals, not a decision, and spells are taken for geometric: once begun, a spell goes on for another
bar with a chance `stay`. The chance that a given bar ends a spell of at least L bars is then

    P(L) = start * stay ** (L - 1)

with `start` the share of silent bars. Both are learnt from the journal before the spell in question,
together with a few bars' worth of what `MonitorConfig` takes for normal; `stay` is at least what long spells
alone show, which are longer than a geometric law would have them (nights, weekends).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.table import Integers, Mask

_PRIOR_BARS = 2.0


@dataclass(frozen=True, kw_only=True)
class Silence:
    """The quiet spell that lasts until now."""

    bars: int
    """Bars without BUY or SELL up to the newest."""
    needed: int
    """Bars from which on the spell is too long for a healthy Arbiter."""
    share: float
    """Share of silent bars before it."""

    @property
    def suspicious(self) -> bool:
        """Whether the spell is that long."""
        return self.bars >= self.needed


def silence(quiet: Mask, config: MonitorConfig, *, chance: float) -> Silence:
    """Judge the silence at the end of a series.

    Args:
        quiet: bool [K], bars at which nobody signalled, oldest first.
        config: what is believed of a journal that is still short.
        chance: chance with which a healthy Arbiter may be called silent at a given bar.
    """
    spells, trailing = _spells(quiet)
    known = len(quiet) - trailing
    start = (float(spells.sum()) + _PRIOR_BARS * config.hold_share) / (known + _PRIOR_BARS)
    usual = 1.0 - 1.0 / max(config.quiet_bars, 1.5)
    late = np.maximum(spells - config.quiet_bars, 0.0)
    stay = max(_stay(spells.astype(np.float64), usual, config), _stay(late, usual, config))
    needed = 1 + max(math.ceil(math.log(min(chance / start, 1.0)) / math.log(stay)), 0)
    return Silence(bars=trailing, needed=needed, share=float(spells.sum()) / known if known else math.nan)


def _stay(
    lengths: np.ndarray[tuple[int], np.dtype[np.float64]], usual: float, config: MonitorConfig
) -> float:
    """Chance that a spell goes on: of all bars of spells that were followed by another of the same spell."""
    lengths = lengths[lengths > 0]
    chances = float(lengths.sum())
    return (chances - len(lengths) + usual * config.quiet_bars) / (chances + config.quiet_bars)


def _spells(quiet: Mask) -> tuple[Integers, int]:
    """int64 [S]: lengths of the finished spells, and the length of the one that lasts until the end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    lasting = bool(len(quiet)) and bool(quiet[-1])
    return (lengths[:-1], int(lengths[-1])) if lasting else (lengths, 0)
