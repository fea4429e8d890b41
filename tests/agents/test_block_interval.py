"""Intervals of shares whose rows overlap in time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from quantum_trader.agents.block_interval import (
    FEWEST_BLOCKS,
    count_by_block,
    share_interval,
    time_blocks,
)

HORIZON = 12


def overlapping(seed: int, bars: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """Whether a slow guess about a random walk's next 12 bars was right, and the bar; the truth is 0.5."""
    rng = np.random.default_rng(seed)
    walk = np.concatenate([[0.0], np.cumsum(rng.standard_normal(bars + HORIZON))])
    ahead = walk[HORIZON : HORIZON + bars] - walk[:bars]
    guess = np.repeat(rng.standard_normal(bars // 10), 10)
    return np.sign(guess) == np.sign(ahead), np.arange(bars)


def test_independent_rows_get_wilsons_interval() -> None:
    """With one row a block it is Wilson's interval, but for Student's quantile."""
    correct = np.random.default_rng(0).random(4_000) < 0.6
    found = share_interval(count_by_block(correct, np.arange(4_000)), 0.95)
    wilson = binomtest(int(correct.sum()), 4_000).proportion_ci(method="wilson")
    assert found == pytest.approx((wilson.low, wilson.high), abs=2e-4)


def test_rows_that_repeat_each_other_are_worth_one() -> None:
    """Every row written down eight times in its block leaves the interval where it was."""
    correct = np.random.default_rng(1).random(200) < 0.6
    once = share_interval(count_by_block(correct, np.arange(200)), 0.95)
    often = share_interval(count_by_block(np.repeat(correct, 8), np.repeat(np.arange(200), 8)), 0.95)
    assert often == pytest.approx(once, abs=1e-12)


def test_overlapping_labels_are_covered() -> None:
    """Nominal 95 % intervals hold the truth about as often; those of independent rows far less."""
    held, naive = [], []
    for seed in range(300):
        correct, bars = overlapping(seed)
        low, high = share_interval(count_by_block(correct, time_blocks(bars, 4 * HORIZON)), 0.95) or (0, 0)
        held.append(low <= 0.5 <= high)
        interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
        naive.append(interval.low <= 0.5 <= interval.high)
    assert 0.90 <= np.mean(held) <= 0.99
    assert np.mean(naive) < 0.75


def test_symbols_of_one_moment_share_a_block() -> None:
    """Blocks count moments, not rows, and gaps in time do not count."""
    moments = np.array([0, 0, 1, 1, 2, 7, 7, 9])
    np.testing.assert_array_equal(time_blocks(moments, 2), [0, 0, 0, 0, 1, 1, 1, 2])


def test_a_handful_of_blocks_gets_no_interval() -> None:
    """Below `FEWEST_BLOCKS` blocks with rows there is none, however many rows they hold."""
    correct = np.arange(900) % 3 > 0
    few = np.arange(900) % (FEWEST_BLOCKS - 1)
    assert share_interval(count_by_block(correct, few), 0.95) is None
    assert share_interval(count_by_block(np.zeros(0, dtype=bool), np.zeros(0, dtype=int)), 0.95) is None
    assert share_interval(count_by_block(correct, np.arange(900) % FEWEST_BLOCKS), 0.95) is not None


def test_all_right_is_not_certain() -> None:
    """A share of 1 keeps a lower end below 1, as for one row a block."""
    always = count_by_block(np.ones(1_000, dtype=bool), np.arange(1_000) // 50)
    low, high = share_interval(always, 0.95) or (0, 0)
    assert low == pytest.approx(0.82, abs=0.02)
    assert high == 1.0
