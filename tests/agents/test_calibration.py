from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration, fit_calibration
from quantum_trader.envs.errors import TrainingError


def drawn(temperature: float, rows: int = 20_000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities that claim too much by `temperature`, and labels drawn from the honest ones."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (rows, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((rows, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    claimed = np.exp(logits * temperature)
    return (claimed / claimed.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_finds_the_temperature_that_was_applied(temperature: float) -> None:
    """Probabilities sharpened by a known factor are brought back by a temperature near that factor."""
    probabilities, labels = drawn(temperature)
    assert fit_calibration(probabilities, labels, hold_share=0.4).temperature == pytest.approx(
        temperature, rel=0.05
    )


def test_weights_choose_the_rows() -> None:
    """A row of weight 0 has no say in the temperature."""
    sharp, labels = drawn(2.5)
    flat, other = drawn(0.5)
    weights = np.repeat([1.0, 0.0], len(labels)).astype(np.float32)
    both = fit_calibration(
        np.concatenate([sharp, flat]), np.concatenate([labels, other]), weights=weights, hold_share=0.4
    )
    assert both.temperature == pytest.approx(
        fit_calibration(sharp, labels, hold_share=0.4).temperature, rel=1e-3
    )


def test_keeps_order_and_sums() -> None:
    """Scaling keeps each row's ranking, sums to 1, stays float32 and leaves its input alone."""
    probabilities, _ = drawn(2.0, rows=100)
    before = probabilities.copy()
    scaled = Calibration(temperature=3.0).apply(probabilities)
    assert scaled.dtype == np.float32
    assert scaled.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-6)
    assert (np.argsort(scaled, axis=1) == np.argsort(probabilities, axis=1)).all()
    assert (probabilities == before).all()


def test_temperature_one_changes_nothing() -> None:
    """At temperature 1 the probabilities come back."""
    probabilities, _ = drawn(1.0, rows=100)
    assert Calibration().apply(probabilities) == pytest.approx(probabilities, abs=1e-6)


def test_certainty_stays_finite() -> None:
    """Probabilities of exactly 0 and 1 give finite answers."""
    certain = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    assert np.isfinite(Calibration(temperature=0.5).apply(certain)).all()


def test_needs_rows() -> None:
    """Calibrating on nothing is an error."""
    with pytest.raises(TrainingError, match="validation rows"):
        fit_calibration(np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64), hold_share=0.4)


def test_hold_is_said_as_often_as_asked() -> None:
    """The hold threshold is reached by the wanted share of the calibrated rows."""
    probabilities, labels = drawn(2.0)
    found = fit_calibration(probabilities, labels, hold_share=0.25)
    reached = found.apply(probabilities)[:, 0] >= found.hold_threshold
    assert reached.mean() == pytest.approx(0.25, abs=0.001)
