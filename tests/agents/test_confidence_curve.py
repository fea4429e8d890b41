"""Direction accuracy from a confidence on, and the threshold that the rows speak for."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.agents.block_interval import time_blocks
from quantum_trader.agents.confidence_curve import (
    THRESHOLDS,
    confidence_curve,
    suggest_threshold,
)
from quantum_trader.agents.measures import calibration_noise, expected_calibration_error
from quantum_trader.envs.actions import Action

HOLD, BUY, SELL = Action.HOLD, Action.BUY, Action.SELL
Forecast = tuple[np.ndarray, np.ndarray, np.ndarray]


def forecast(rows: int = 6_000, *, seed: int = 0, skill: float = 1.0, hold: float = 0.3) -> Forecast:
    """Labels, probabilities and blocks: directions that come true as often as stated where `skill` is 1 and
    by a coin flip where it is 0."""
    rng = np.random.default_rng(seed)
    buy = rng.uniform(0.3, 0.7, rows)
    rises = rng.random(rows) < 0.5 + skill * (buy - 0.5)
    labels = np.where(rng.random(rows) < hold, HOLD, np.where(rises, BUY, SELL)).astype(np.int8)
    probabilities = np.stack([np.full(rows, hold), (1 - hold) * buy, (1 - hold) * (1 - buy)], axis=1)
    return labels, probabilities.astype(np.float32), time_blocks(np.arange(rows), 48)


def test_coverage_falls_and_accuracy_is_that_of_the_rows_left() -> None:
    """Coverage never rises with the threshold; each row of the curve is what counting by hand gives."""
    labels, probabilities, blocks = forecast()
    curve = confidence_curve(labels, probabilities, blocks)
    coverage = [row.coverage for row in curve]
    assert coverage == sorted(coverage, reverse=True)
    assert coverage[0] == 1.0
    for row in curve:
        buy, sell = probabilities[:, BUY].astype(float), probabilities[:, SELL].astype(float)
        left = np.maximum(buy, sell) / (buy + sell) >= row.threshold
        judged = left & (labels != HOLD)
        said = np.where(buy >= sell, BUY, SELL)
        assert row.coverage == pytest.approx(left.mean())
        assert row.rows == judged.sum()
        assert row.accuracy == pytest.approx((said == labels)[judged].mean())
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.accuracy < row.high


def test_thresholds_that_nothing_reaches_are_left_out() -> None:
    """A forecaster whose confidence ends at 0.7 has no row above it."""
    curve = confidence_curve(*forecast())
    assert [row.threshold for row in curve] == [value for value in THRESHOLDS if value < 0.7]


def test_rows_without_a_direction_leave_accuracy_open() -> None:
    """Where every label is HOLD there is coverage but no accuracy, and no suggestion."""
    labels, probabilities, blocks = forecast(hold=1.0)
    first = confidence_curve(labels, probabilities, blocks)[0]
    assert (first.coverage, first.rows, first.accuracy, first.low) == (1.0, 0, None, None)
    assert suggest_threshold(labels, probabilities, blocks).threshold is None


def test_the_suggestion_honours_its_criterion() -> None:
    """A forecaster that knows is given a threshold with coverage enough and accuracy surely above 0.5."""
    labels, probabilities, blocks = forecast()
    found = suggest_threshold(labels, probabilities, blocks, minimum_coverage=0.25)
    curve = {row.threshold: row for row in confidence_curve(labels, probabilities, blocks)}
    chosen = curve[found.threshold or 0.0]
    assert chosen.coverage >= 0.25
    assert chosen.low is not None
    assert chosen.low > 0.5
    # More confident rows are right more often here, and 0.65 is reached by a quarter of the rows.
    assert 0.58 <= chosen.threshold <= 0.65
    assert "25%" in found.rule


def test_more_coverage_asked_for_is_given() -> None:
    """The minimum coverage binds: asked for nine rows in ten, the threshold falls."""
    labels, probabilities, blocks = forecast()
    found = suggest_threshold(labels, probabilities, blocks, minimum_coverage=0.9)
    assert found.threshold is not None
    assert found.threshold <= 0.52


def test_a_coin_flip_is_seldom_suggested() -> None:
    """A forecaster that knows nothing is given none, but for the stated error of one in twenty."""
    found = [suggest_threshold(*forecast(2_000, seed=seed, skill=0.0)).threshold for seed in range(100)]
    assert sum(threshold is not None for threshold in found) <= 8
    assert "no threshold" in suggest_threshold(*forecast(2_000, seed=0, skill=0.0)).rule


def test_a_forecaster_that_is_surely_wrong_is_not_suggested() -> None:
    """Accuracy surely below 0.5 meets no criterion."""
    assert suggest_threshold(*forecast(skill=-1.0)).threshold is None


def test_calibration_noise_is_the_error_of_the_perfectly_calibrated() -> None:
    """It is the mean calibration error of labels that are drawn from the stated probabilities."""
    rng = np.random.default_rng(5)
    stated = rng.uniform(0.4, 0.8, 1_500)
    drawn = [expected_calibration_error(stated, rng.random(1_500) < stated) for _ in range(300)]
    assert calibration_noise(stated) == pytest.approx(np.mean(drawn), rel=0.03)
    assert np.isnan(calibration_noise(np.zeros(0)))
