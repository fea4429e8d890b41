"""Calibrating a network: what is fitted, on which rows it is measured, what is written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.agents.calibration import Calibration, fit_temperature
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.validation_report import ValidationReport
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network_calibration import calibrate, cross_fit, read, time_halves
from quantum_trader.train.prepared import Prepared

HORIZON = 12


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 [N, 3]."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Honest logits, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.7, (rows, 3))
    labels = (rng.random((rows, 1)) > softmax(logits).cumsum(axis=1)).sum(axis=1).clip(0, 2)
    return logits, labels.astype(np.int8)


class Boaster:
    """States what lies in the last bar of its windows, `boast` times as sure as it should be."""

    def __init__(self, boast: float = 3.0) -> None:
        self.boast = boast
        self.calibration: Calibration | None = None
        self.report: ValidationReport | None = None
        self.provenance = Provenance.now(data_sha256="0" * 64, seed=0, metrics={})

    def signals(self, inputs: ModelInputs) -> Signals:
        """Probabilities, and quantiles that are always -1, 0, 1."""
        said = softmax(self.boast * inputs.windows[:, -1, :3])
        quantiles = np.tile(np.array([-1.0, 0.0, 1.0], dtype=np.float32), (len(inputs), 4, 1))
        calibrated = self.calibration.apply(said) if self.calibration else said
        return Signals(probabilities=calibrated, quantiles=quantiles)


def rows_of(count: int, seed: int) -> PooledDataset:
    """Windows whose last bar holds the honest logits; returns within -1 ... 1, but for one in ten."""
    logits, labels = drawn(count, seed)
    windows = np.zeros((count, 60, 14), dtype=np.float32)
    windows[:, -1, :3] = logits
    returns = np.zeros((count, 4), dtype=np.float32)
    returns[::10, 1] = 2.0
    returns[0, 3] = np.nan
    return PooledDataset.from_windows(windows, labels, returns=returns)


@pytest.fixture(scope="module")
def boaster() -> Boaster:
    """Calibrated on 5,000 rows."""
    agent = Boaster()
    metrics = {"epochs": 7.0}
    calibrate(agent, rows_of(500, 1), rows_of(5_000, 2), metrics)
    assert agent.provenance.metrics == metrics
    return agent


def test_the_temperature_undoes_the_boast(boaster: Boaster) -> None:
    """A network three times too sure gets temperature 3, and its calibration error falls to the noise."""
    assert boaster.calibration is not None
    assert boaster.calibration.temperature == pytest.approx(3.0, rel=0.1)
    metrics = boaster.provenance.metrics
    assert metrics["validation_ece_before"] > 0.2
    assert metrics["validation_ece"] < 1.5 * metrics["validation_ece_noise"] < 0.04
    assert metrics["validation_direction_ece"] < 0.2 * metrics["validation_direction_ece_before"]
    assert metrics["validation_log_loss"] < metrics["validation_log_loss_before"]
    assert metrics["validation_ece_cross_fitted"] < 0.2 * metrics["validation_ece_cross_fitted_before"]


def test_figures_are_those_of_the_calibrated_agent(boaster: Boaster) -> None:
    """What is noted is what asking the calibrated agent again gives."""
    rows, metrics = rows_of(5_000, 2), boaster.provenance.metrics
    said = boaster.signals(rows.inputs(np.arange(len(rows))))
    assert boaster.report is not None
    assert read(rows.action, said.probabilities) == boaster.report.after
    assert metrics["validation_accuracy"] == pytest.approx((said.actions == rows.action).mean())
    moved = rows.action != Action.HOLD
    right = said.direction[moved] == rows.action[moved]
    assert metrics["validation_direction_accuracy"] == pytest.approx(right.mean())
    most = np.argsort(-said.directional_confidence[moved])[: round(0.1 * moved.sum())]
    assert metrics["validation_direction_accuracy_10"] == pytest.approx(right[most].mean())
    assert metrics["validation_direction_accuracy_1"] > metrics["validation_direction_accuracy_10"]
    assert boaster.calibration is not None
    held = said.probabilities[:, Action.HOLD] >= boaster.calibration.hold_threshold
    assert metrics["validation_share_hold"] == pytest.approx(held.mean())
    buys = ~held & (said.direction == Action.BUY)
    assert metrics["validation_share_buy"] == pytest.approx(buys.mean())
    shares = [metrics[f"validation_share_{name}"] for name in ("hold", "buy", "sell")]
    assert sum(shares) == pytest.approx(1.0)
    assert metrics["epochs"] == 7.0


def test_quantile_coverage_of_each_horizon(boaster: Boaster) -> None:
    """One return in ten of the second horizon lies outside; an unknown return does not count."""
    metrics = boaster.provenance.metrics
    by_horizon = [metrics[f"validation_quantile_coverage_{bars}"] for bars in (1, 3, 6, 12)]
    assert by_horizon == pytest.approx([1.0, 0.9, 1.0, 1.0])
    # 4 x 5000 returns, one of them unknown, 500 outside.
    assert metrics["validation_quantile_coverage"] == pytest.approx(1 - 500 / 19_999)


def test_calibrating_twice_is_calibrating_once(boaster: Boaster) -> None:
    """A calibration that the agent has is forgotten first."""
    before = boaster.calibration
    calibrate(boaster, rows_of(500, 1), rows_of(5_000, 2), {"epochs": 7.0})
    assert boaster.calibration == before


def test_cross_fitted_figures_are_of_unseen_rows() -> None:
    """Each half is read with the other's temperature: where halves differ, that is worse than in-sample."""
    logits, labels = drawn(4_000, 3)
    boast = np.where(np.arange(4_000) < 2_000, 3.0, 1.0)[:, None]
    raw, moments = softmax(boast * logits), np.arange(4_000)
    found = cross_fit(raw, labels, moments, HORIZON)
    assert found is not None
    assert found.temperatures == pytest.approx((3.0, 1.0), rel=0.15)
    earlier, later = np.arange(2_000 - HORIZON), np.arange(2_000, 4_000)
    losses = []
    for fitted, unseen in ((later, earlier), (earlier, later)):
        temperature = fit_temperature(raw[fitted], labels[fitted])
        said = Calibration(temperature=temperature).apply(raw[unseen])
        losses.append(read(labels[unseen], said).log_loss)
    assert found.after.log_loss == pytest.approx(np.average(losses, weights=[len(earlier), len(later)]))
    assert found.rows == len(earlier) + len(later)
    inside = read(labels, Calibration(temperature=fit_temperature(raw, labels)).apply(raw))
    assert found.after.log_loss > inside.log_loss + 0.005
    assert found.after.ece > inside.ece + 0.02


def test_rows_that_look_into_the_later_half_take_no_part() -> None:
    """Whatever the labels of the last bars before the cut are, the cross-fit stays the same."""
    logits, labels = drawn(1_000, 4)
    raw, moments = softmax(2 * logits), np.repeat(np.arange(500), 2)
    changed = labels.copy()
    changed[500 - 2 * HORIZON : 500] = Action.SELL
    assert cross_fit(raw, changed, moments, HORIZON) == cross_fit(raw, labels, moments, HORIZON)
    changed[500 - 2 * HORIZON - 1] = (labels[500 - 2 * HORIZON - 1] + 1) % 3
    assert cross_fit(raw, changed, moments, HORIZON) != cross_fit(raw, labels, moments, HORIZON)


def test_halves_are_of_time() -> None:
    """Rows of one moment stay together; the gap is counted in moments."""
    earlier, later = time_halves(np.array([0, 0, 1, 2, 2, 3, 4, 4, 5]), 1)
    np.testing.assert_array_equal(np.flatnonzero(earlier), [0, 1, 2])
    np.testing.assert_array_equal(np.flatnonzero(later), [5, 6, 7, 8])


def test_few_rows_have_no_cross_fit() -> None:
    """With less than 30 rows in a half nothing is said of halves, and the rest still is."""
    agent = Boaster()
    calibrate(agent, rows_of(50, 1), rows_of(80, 2), {})
    assert agent.report is not None
    assert agent.report.cross_fit is None
    assert "validation_ece_cross_fitted" not in agent.provenance.metrics
    assert np.isfinite(list(agent.provenance.metrics.values())).all()


def test_labels_without_a_direction_leave_figures_out() -> None:
    """Where every label is HOLD, figures on directions are left out rather than NaN."""
    agent, rows = Boaster(), rows_of(200, 2)
    rows.action[:] = Action.HOLD
    calibrate(agent, rows_of(50, 1), rows, {})
    assert agent.report is not None
    assert agent.report.after.direction_ece is None
    assert agent.report.reliability_after.direction == ()
    assert "validation_direction_accuracy" not in agent.provenance.metrics
    assert np.isfinite(list(agent.provenance.metrics.values())).all()


def test_no_rows_are_refused() -> None:
    """Calibration without validation rows is a `TrainingError`."""
    with pytest.raises(TrainingError, match="validation rows"):
        calibrate(Boaster(), rows_of(50, 1), rows_of(50, 2).subset(np.arange(0)), {})


def test_the_report_names_its_rows(prepared_walks: Prepared) -> None:
    """First and last decision, rows and symbols of both datasets are in the report."""
    agent, train = Boaster(), prepared_walks.train
    rows = prepared_walks.validation.subset(np.arange(0, len(prepared_walks.validation), 5))
    calibrate(agent, train, rows, {})
    assert agent.report is not None
    used = agent.report.validation
    assert used.rows == len(rows)
    assert used.symbols == tuple(market.bars.symbol for market in rows.markets)
    first = np.datetime64(int(rows.timestamps[0]), "ms")
    assert used.first is not None
    assert np.datetime64(used.first.removesuffix("+00:00")) == first
    assert agent.report.train.rows == len(train)
    # 12 bars ahead, so blocks of 48.
    assert agent.report.block_bars == 4 * HORIZON


def test_windows_of_ones_own_have_no_dates(boaster: Boaster) -> None:
    """Without markets there are no symbols and no dates to tell."""
    assert boaster.report is not None
    assert boaster.report.train == replace(boaster.report.train, symbols=(), first=None, last=None)
