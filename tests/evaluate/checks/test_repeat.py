"""`deterministic` passes what repeats to the bit and fails what does not."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.evaluate.checks.repeat import deterministic, fingerprint
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared


def test_the_regression_repeats(prepared: Prepared) -> None:
    """Two fits with one seed give the same predictions."""
    found = deterministic(lambda: ask(fit_logistic(prepared.train, prepared.validation), prepared.test))
    assert found.passed is True, found.detail


def test_an_agent_without_a_seed_fails(prepared: Prepared) -> None:
    """Predictions that differ by chance fail, were it by the last bit of one row."""
    random = np.random.default_rng()
    assert deterministic(lambda: random.random(5)).passed is False
    calls = count()

    def almost() -> NDArray[np.float32]:
        stated = np.full(1_000, 1 / 3, dtype=np.float32)
        stated[500] = np.nextafter(stated[500], np.float32(next(calls) * 2 - 1))
        return stated

    assert deterministic(almost).passed is False


@pytest.mark.parametrize(
    "other", [np.zeros(4, np.float64), np.zeros((2, 2), np.float32), -np.zeros(4, np.float32)]
)
def test_type_shape_and_sign_of_zero_count(other: NDArray[np.floating]) -> None:
    """Arrays that compare equal but are not the same have other fingerprints."""
    assert fingerprint(other) != fingerprint(np.zeros(4, np.float32))
