from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from quantum_trader.agents.pool import log_opinion_pool


def forecast(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_one_member_of_weight_one_is_returned_unchanged() -> None:
    """A pool of one member is that member."""
    p = forecast((0.5, 0.3, 0.2), (0.1, 0.1, 0.8))
    np.testing.assert_allclose(log_opinion_pool([p], [1.0]), p, rtol=1e-6)


def test_equal_weights_give_the_renormalised_geometric_mean() -> None:
    """Half and half is the geometric mean, renormalised."""
    a, b = forecast((0.5, 0.3, 0.2)), forecast((0.2, 0.2, 0.6))
    mean = np.sqrt(a * b)
    np.testing.assert_allclose(log_opinion_pool([a, b], [0.5, 0.5]), mean / mean.sum(), rtol=1e-5)


def test_a_zero_cannot_veto() -> None:
    """A member that calls a class impossible does not silence the others."""
    pooled = log_opinion_pool([forecast((0.0, 1.0, 0.0)), forecast((0.9, 0.05, 0.05))], [0.1, 1.0])
    assert pooled.argmax() == 0


def test_nan_of_a_member_stays_in_its_row() -> None:
    """NaN in one row leaves the other rows alone."""
    a = forecast((0.5, 0.3, 0.2), (0.2, 0.4, 0.4))
    b = a.copy()
    b[0, 1] = np.nan
    pooled = log_opinion_pool([a, b], [0.5, 0.5])
    assert np.isnan(pooled[0]).any()
    np.testing.assert_allclose(pooled[1], a[1], rtol=1e-5)


@given(
    st.lists(st.floats(0.01, 1.0), min_size=6, max_size=6),
    st.floats(0, 3),
    st.floats(0, 3),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)),
)
def test_pooled_rows_are_distributions(
    raw: list[float], first: float, second: float, bias: tuple[float, float, float]
) -> None:
    """Whatever the weights and bias, the pool is positive and sums to one."""
    members = np.array(raw, dtype=np.float32).reshape(2, 1, 3)
    members /= members.sum(axis=2, keepdims=True)
    pooled = log_opinion_pool(list(members), [first, second], bias)
    assert (pooled >= 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1.0, rtol=1e-5)
