"""`Moments`: the time of a range as bins, and intervals of what happened in them, resampled in blocks.

What several symbols did at one moment, and what one symbol did at moments near each other, hangs together.
So everything is added up by moment first and whole stretches of time are resampled. Long ranges are binned
more coarsely: a thousand blocks say as much as a hundred thousand, in a fraction of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate import bootstrap
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.table import Floats, Integers, Table

Values = NDArray[np.float64] | NDArray[np.bool_] | NDArray[np.int64]

MOST_BLOCKS = 1_000
_BINS_A_BLOCK = 8


@dataclass(frozen=True, kw_only=True)
class Moments:
    """The distinct bars of a range, in bins of `width` successive ones.

    Attributes:
        bar_ms: int64 [K], distinct bar opens, ascending.
        width: bars in a bin.
        block: mean block of the bootstrap in bins.
    """

    bar_ms: Integers
    width: int
    block: float
    config: MonitorConfig

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return -(-len(self.bar_ms) // self.width)

    def mean(self, values: Values, bar_ms: Integers, *, level: float) -> Interval:
        """Interval of the mean of events.

        Args:
            values: float or bool [M], one an event.
            bar_ms: int64 [M], bar of each event, among `self.bar_ms`.
            level: nominal coverage.

        Returns:
            The estimate is NaN without events, the bounds are where events are too few or too close together
            (`bootstrap.share_interval`).
        """
        return bootstrap.share_interval(*self._binned(values, bar_ms), config=self._bootstrap(level))

    def total(self, values: Values, bar_ms: Integers, *, level: float) -> Interval:
        """Interval of the sum of the events of a bar; arguments and bounds as for `mean`."""
        sums, events = self._binned(values, bar_ms)
        found = bootstrap.mean_interval(sums, config=self._bootstrap(level))
        return self._a_bar(self._unless_few(found, sums, events))

    def sure_mean(self, values: Values, bar_ms: Integers) -> Interval:
        """`mean` at the level of alerts.

        The bounds lie as many standard deviations of the resamples from the estimate as `mean`'s would if
        the resamples were normal. Far out in the tails percentiles of some thousand draws are too random:
        an alert at its limit would come and go with every bar.
        """
        return self._sure(*self._binned(values, bar_ms))

    def sure_total(self, values: Values, bar_ms: Integers) -> Interval:
        """`total` at the level of alerts, with bounds as for `sure_mean`."""
        sums, events = self._binned(values, bar_ms)
        found = self._sure(sums, np.ones(len(sums)))
        return self._a_bar(self._unless_few(found, sums, events))

    def _binned(self, values: Values, bar_ms: Integers) -> tuple[Floats, Floats]:
        """Sums and numbers of events, float64 [bins] each."""
        if not len(self.bar_ms):
            return np.zeros(0), np.zeros(0)
        places = np.searchsorted(self.bar_ms, bar_ms) // self.width
        sums = np.bincount(places, weights=values.astype(np.float64), minlength=self.bins)
        return sums.astype(np.float64), np.bincount(places, minlength=self.bins).astype(np.float64)

    def _sure(self, sums: Floats, events: Floats) -> Interval:
        # Loads slowly, and everything that only names a record would pay for it.
        from scipy.stats import norm

        config = self._bootstrap(self.config.alert_level)
        found = bootstrap.share_interval(sums, events, config=config)
        if not np.isfinite(found.low):
            return found
        both = np.stack([sums, events], axis=1)
        drawn = bootstrap.resampled_sums(both, block=self.block, draws=config.draws, seed=config.seed)
        # Resamples without events say nothing of their mean.
        drawn = drawn[drawn[:, 1] > 0]
        spread = float(np.std(drawn[:, 0] / drawn[:, 1]))
        reach = float(norm.isf(bootstrap.tail_share(len(sums), self.block, config.level))) * spread
        return replace(found, low=found.estimate - reach, high=found.estimate + reach)

    def _unless_few(self, found: Interval, sums: Floats, events: Floats) -> Interval:
        """The interval, without bounds where events are too few for `mean` to have any."""
        few = bootstrap.share_interval(sums, events, config=replace(self._bootstrap(0.95), draws=1))
        return found if np.isfinite(few.low) else replace(found, low=np.nan, high=np.nan)

    def _a_bar(self, found: Interval) -> Interval:
        """What is said of a bin, of one of its bars."""
        return scaled(found, self.bins / len(self.bar_ms)) if len(self.bar_ms) else found

    def _bootstrap(self, level: float) -> BootstrapConfig:
        """How intervals of coverage `level` are drawn."""
        config = self.config
        return BootstrapConfig(block_bars=self.block, draws=config.draws, level=level, seed=config.seed)


def scaled(found: Interval, factor: float) -> Interval:
    """The interval in another unit, `factor` > 0 of the old ones."""
    return replace(found, estimate=found.estimate * factor, low=found.low * factor, high=found.high * factor)


def moments_of(table: Table, config: MonitorConfig) -> Moments:
    """The moments of a table; blocks are at least as long as its labels and its longest trade."""
    bar_ms = np.unique(table.bar_ms)
    dependent = max(float(config.block_bars), float(table.horizon_bars.max(initial=0)) + 1.0)
    wanted = max(dependent, _longest_trade(table, bar_ms), len(bar_ms) / MOST_BLOCKS)
    width = max(int(wanted // _BINS_A_BLOCK), 1) if len(bar_ms) / wanted > MOST_BLOCKS / 2 else 1
    return Moments(bar_ms=bar_ms, width=width, block=max(wanted / width, 1.0), config=config)


def _longest_trade(table: Table, bar_ms: Integers) -> float:
    """Bars from a decision to the end of the longest trade, those left out that the market was closed for."""
    known = table.resolved
    if not known.any():
        return 0.0
    ends = np.searchsorted(bar_ms, table.exit_ms[known].max(axis=1))
    return float((ends - np.searchsorted(bar_ms, table.bar_ms[known])).max()) + 1.0
