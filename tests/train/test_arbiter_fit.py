from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.agents.calibration import fit_hold_threshold
from quantum_trader.agents.pool import log_opinion_pool
from quantum_trader.envs.actions import Action
from quantum_trader.train.arbiter import fit_lean, fit_pool


def forecasts(labels: np.ndarray, skill: float, seed: int) -> np.ndarray:
    """Noisy forecasts of `labels`; skill 0 knows nothing."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 0.5, (len(labels), 3)) + skill * np.eye(3)[labels]
    table = np.exp(logits)
    return (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


def log_loss(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(labels)), labels]).mean())


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 5000).astype(np.int8)


def test_a_member_without_skill_gets_no_weight(labels: np.ndarray) -> None:
    """The pool's weights follow skill, and are never negative."""
    good, blind = forecasts(labels, 1.0, 1), forecasts(labels, 0.0, 2)
    (first, second), _ = fit_pool([good, blind], labels)
    assert first > 0.5
    assert 0.0 <= second < 0.1


def test_the_pool_is_no_worse_than_either_member(labels: np.ndarray) -> None:
    """On the rows it was fitted on, the pool has at most the better member's log-loss."""
    a, b = forecasts(labels, 0.6, 3), forecasts(labels, 0.4, 4)
    weights, bias = fit_pool([a, b], labels)
    pooled = log_opinion_pool((a, b), weights, bias)
    assert log_loss(pooled, labels) < min(log_loss(a, labels), log_loss(b, labels))


def test_the_bias_mends_a_policy_that_prefers_one_action(labels: np.ndarray) -> None:
    """A policy that says BUY too often is corrected by the pool's bias."""
    fair = forecasts(labels, 0.8, 5)
    leaning = fair * np.array([1.0, 5.0, 1.0], dtype=np.float32)
    leaning /= leaning.sum(axis=1, keepdims=True)
    blind = np.full_like(fair, 1 / 3)
    weights, bias = fit_pool([blind, leaning], labels)
    pooled = log_opinion_pool((blind, leaning), weights, bias)
    assert log_loss(pooled, labels) <= log_loss(fair, labels) + 1e-3


def test_the_hold_threshold_gives_the_wanted_share() -> None:
    """A forecaster that always finds HOLD likeliest still says HOLD on the wanted share of rows."""
    hold = np.random.default_rng(0).uniform(0.41, 0.45, 1000).astype(np.float32)
    table = np.stack([hold, (1 - hold) / 2, (1 - hold) / 2], axis=1)
    assert (table.argmax(axis=1) == Action.HOLD).all()
    threshold = fit_hold_threshold(table, 0.4)
    assert np.mean(table[:, Action.HOLD] >= threshold) == pytest.approx(0.4, abs=0.01)


def test_a_lopsided_forecaster_is_moved_no_more_than_needed() -> None:
    """Odds that favour SELL on nearly every row are moved until BUY leads on the wanted share of rows."""
    odds = np.random.default_rng(0).normal(-0.5, 0.2, 5000)
    buy = 0.6 / (1.0 + np.exp(-odds))
    table = np.stack([np.full(5000, 0.4), buy, 0.6 - buy], axis=1).astype(np.float32)
    assert np.mean(table[:, Action.BUY] > table[:, Action.SELL]) < 0.01
    bias = fit_lean(table, (0.0, 0.0, 0.0), 0.42)
    moved = log_opinion_pool((table,), (1.0,), bias)
    assert np.mean(moved[:, Action.BUY] > moved[:, Action.SELL]) == pytest.approx(0.42, abs=0.005)


def test_a_balanced_forecaster_is_left_alone() -> None:
    """Where both directions lead often enough the bias stays as it was."""
    table = forecasts(np.random.default_rng(1).integers(0, 3, 5000).astype(np.int8), 0.5, 6)
    assert fit_lean(table, (0.0, 0.1, -0.1), 0.42) == (0.0, 0.1, -0.1)
