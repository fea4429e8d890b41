from __future__ import annotations

import warnings

import numpy as np
import pytest
from arch.bootstrap import optimal_block_length
from hypothesis import given, settings, strategies as st
from scipy.signal import lfilter

from quantum_trader.evaluate.statistics.block_length import block_length


def _autocorrelated(persistence: float, rows: int = 4_000) -> np.ndarray:
    return np.asarray(lfilter([1.0], [1.0, -persistence], np.random.default_rng(0).normal(size=rows)))


def test_it_is_archs_length_where_that_is_longer() -> None:
    """An autocorrelated series gets arch's length, an independent one the shortest allowed."""
    slow = _autocorrelated(0.95)
    assert block_length(slow, shortest=5) == pytest.approx(optimal_block_length(slow)["stationary"].iloc[0])
    assert block_length(slow, shortest=5) > block_length(_autocorrelated(0.5), shortest=5)
    assert block_length(_autocorrelated(0.0), shortest=48) == 48


def test_at_most_a_quarter_of_the_series() -> None:
    """Blocks longer than a quarter of the series are cut to it, whoever asked for them."""
    assert block_length(np.cumsum(_autocorrelated(0.0, 100)), shortest=5) <= 25
    assert block_length(_autocorrelated(0.0, 100), shortest=48) == 25


def test_a_constant_series_gets_the_shortest() -> None:
    """No variance, no estimate, no warning."""
    assert block_length(np.zeros(400), shortest=24) == 24
    assert block_length(np.full(400, 0.1), shortest=24) == 24


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(0, 80),
    events=st.lists(st.integers(0, 79), max_size=5),
    shortest=st.floats(1, 50),
)
def test_sparse_and_short_series_never_warn(rows: int, events: list[int], shortest: float) -> None:
    """Series that hardly ever move, of any length, give a finite length within the bounds."""
    values = np.zeros(80)
    values[events] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = block_length(values[:rows], shortest=shortest)
    assert 1.0 <= found <= max(rows / 4, 1.0)
    assert found >= min(shortest, max(rows / 4, 1.0))
