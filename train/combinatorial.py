"""Combinatorial purged cross-validation (Lopez de Prado 2018, ch. 12): which rows each combination uses.

The time line is cut into groups. Every way of choosing a few of them as test is one combination, fitted on
what is left; each group is then tested by several combinations, and taking one answer for each group makes a
path through the whole time line. Most combinations train on bars that follow their test: paths show how much
a result owes to chance, never what an agent would have earned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations as choose
from math import comb

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.splits import Splits

Mask = NDArray[np.bool_]
Milliseconds = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class CombinatorialConfig:
    """How the time line is cut and combined."""

    groups: int = 10
    """Stretches of equal length; more give more combinations to fit and shorter tests."""
    test_groups: int = 2
    """Groups tested at once; more give more paths and leave less to train on."""
    embargo_bars: int = 200
    """Bars left out where training follows test: the span of the longest indicator, whose values there are
    still made of the test's prices; fewer keep more rows and leak."""

    def __post_init__(self) -> None:
        if not 1 <= self.test_groups <= self.groups - 2:
            raise ConfigError(
                "test_groups: expected at least 1 and at most groups - 2, since training and validation need "
                f"a group each, found {self.test_groups} of {self.groups}."
            )
        if self.embargo_bars < 0:
            raise ConfigError(f"embargo_bars: expected at least 0, found {self.embargo_bars}.")

    @property
    def paths(self) -> int:
        """Paths that the combinations make: in how many of them a group is tested."""
        return comb(self.groups - 1, self.test_groups - 1)


def combinations(config: CombinatorialConfig) -> tuple[tuple[int, ...], ...]:
    """The test groups of every combination, in lexicographic order: 45 of them for two groups of ten."""
    return tuple(choose(range(config.groups), config.test_groups))


def paths(config: CombinatorialConfig) -> NDArray[np.int64]:
    """Which combination answers each group on each path.

    The p-th path takes each group from the p-th combination that tests it, so that every combination answers
    each of its test groups on exactly one path.

    Returns:
        int64 [paths, groups], positions in `combinations(config)`.
    """
    every = combinations(config)
    testing = [[place for place, test in enumerate(every) if group in test] for group in range(config.groups)]
    return np.array(testing, dtype=np.int64).T


def group_bounds(markets: Sequence[Market], config: CombinatorialConfig) -> Milliseconds:
    """The moments that part the groups: the same for all markets, so that none sees another's future.

    Every group but the last holds the same number of moments at which a market has a usable row; the last
    takes the remainder too.

    Returns:
        int64 [groups + 1], milliseconds since the epoch, UTC: group g is [bounds[g], bounds[g + 1]) by the
        open of the decision bar.

    Raises:
        TrainingError: fewer usable moments than groups.
    """
    used = [market.bars.timestamp[market.usable] for market in markets]
    moments = np.unique(np.concatenate(used)) if used else np.zeros(0, dtype=np.int64)
    size = len(moments) // config.groups
    if size == 0:
        raise TrainingError(
            f"Expected usable rows for {config.groups} groups, found {len(moments)}: give longer data or "
            "fewer groups."
        )
    end = max(int(market.bars.timestamp[-1]) + market.bars.step_ms for market in markets)
    return np.append(moments[: size * config.groups : size], end).astype(np.int64)


def validation_group(test: Sequence[int], groups: int) -> int:
    """The group to validate on: of those not tested, the one with the fewest tested neighbours, and the last
    of several, so that as little of it as possible is lost to purging."""
    left = [group for group in range(groups) if group not in test]
    return min(left, key=lambda group: (sum(group + side in test for side in (-1, 1)), -group))


def stretches(test: Sequence[int], bounds: Milliseconds) -> list[tuple[int, int]]:
    """[start, end) in milliseconds of each run of neighbouring groups."""
    found: list[tuple[int, int]] = []
    for group in sorted(test):
        start, end = int(bounds[group]), int(bounds[group + 1])
        if found and found[-1][1] == start:
            start, _ = found.pop()
        found.append((start, end))
    return found


def inside(time: Milliseconds, seen_until: Milliseconds, taken: Sequence[tuple[int, int]]) -> Mask:
    """bool [N]: the rows whose decision bar and label lie in one stretch; see `combinatorial_rows`."""
    found = np.zeros(len(time), dtype=np.bool_)
    for start, end in taken:
        found |= (time >= start) & (seen_until < end)
    return found


def clear(
    time: Milliseconds, seen_until: Milliseconds, taken: Sequence[tuple[int, int]], embargo_bars: int
) -> Mask:
    """bool [N]: the rows that overlap no stretch and start on none of the `embargo_bars` bars after one; see
    `combinatorial_rows`."""
    bars = np.append(np.unique(time), np.iinfo(np.int64).max)
    found = np.ones(len(time), dtype=np.bool_)
    for start, end in taken:
        first = min(int(np.searchsorted(bars, end)) + embargo_bars, len(bars) - 1)
        found &= (seen_until < start) | (time >= bars[first])
    return found


def combinatorial_rows(
    time: Milliseconds,
    seen_until: Milliseconds,
    bounds: Milliseconds,
    test: Sequence[int],
    config: CombinatorialConfig,
) -> Splits:
    """The purged rows of one combination.

    A test row's decision bar lies in a test group, and its label ends in the same run of neighbouring test
    groups. A validation row lies in `validation_group` in the same sense. Neither a training nor a validation
    row looks at a bar of a test group, nor starts within the embargo after one; training keeps the same
    distance from validation, which chooses the number of trees and the temperature.

    Args:
        time: int64 [N], open of each row's decision bar, milliseconds since the epoch, in any order. The
            embargo counts these bars and not the hours between them, in which a market may be closed: give
            every bar of ONE market, usable or not.
        seen_until: int64 [N], open of the last bar that anything about the row looks at, not before `time`.
        bounds: int64 [groups + 1], see `group_bounds`.
        test: the groups tested.
        config: what `bounds` were made with.

    Raises:
        ConfigError: arrays that do not fit each other or `config`.
    """
    if time.shape != seen_until.shape or len(bounds) != config.groups + 1:
        raise ConfigError(
            f"Expected time and seen_until of one length and {config.groups + 1} bounds, found "
            f"{time.shape}, {seen_until.shape} and {len(bounds)}."
        )
    if len(set(test)) != config.test_groups or not all(0 <= group < config.groups for group in test):
        raise ConfigError(
            f"test: expected {config.test_groups} different groups below {config.groups}, "
            f"found {tuple(test)}."
        )
    tested = stretches(test, bounds)
    validated = stretches([validation_group(test, config.groups)], bounds)
    away = clear(time, seen_until, tested, config.embargo_bars)
    return Splits(
        train=away & clear(time, seen_until, validated, config.embargo_bars),
        validation=away & inside(time, seen_until, validated),
        test=inside(time, seen_until, tested),
    )


def market_rows(
    market: Market, bounds: Milliseconds, test: Sequence[int], config: CombinatorialConfig, *, reach_bars: int
) -> Splits:
    """`combinatorial_rows` over the bars of one market, of which only usable ones are taken.

    Known before there are labels, so that the scaler and the barrier, which come first, are fitted on its
    training rows.

    Args:
        market: T bars.
        bounds, test, config: see `combinatorial_rows`.
        reach_bars: bars ahead that a label looks at, see `LabelConfig.reach_bars`.
    """
    time = market.bars.timestamp
    ahead = np.minimum(np.arange(len(time)) + reach_bars, len(time) - 1)
    rows = combinatorial_rows(time, time[ahead], bounds, test, config)
    return Splits(
        train=rows.train & market.usable,
        validation=rows.validation & market.usable,
        test=rows.test & market.usable,
    )
