"""Calibrates a fitted network on validation rows and writes down how far it can be taken at its word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.block_interval import time_blocks
from quantum_trader.agents.calibration import Calibration, fit_calibration, fit_temperature
from quantum_trader.agents.confidence_curve import confidence_curve, suggest_threshold
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.measures import (
    ReliabilityCurve,
    calibration_noise,
    direction_accuracy,
    directional_rows,
    expected_calibration_error,
    quantile_coverage,
    reliability_curve,
)
from quantum_trader.agents.signals import ModelInputs, Signals, direction
from quantum_trader.agents.validation_report import (
    CrossFit,
    Reading,
    Reliability,
    ReliabilityBin,
    RowsUsed,
    ValidationReport,
)
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.tables import hold_share, log_loss, validation_metrics

Floats32 = NDArray[np.float32]
Labels = NDArray[np.int8]
Mask = NDArray[np.bool_]

_CHUNK = 8_192
_BLOCK_LABELS = 4
"""Blocks of four labels' length: on random walks with overlapping labels and slowly changing forecasts,
nominal 95 % intervals then cover 91 to 96 %; those that take rows for independent 55 to 75 %."""
_SMALLEST_HALF = 30
"""Rows of a half of the validation time below which a temperature fitted there means nothing."""


class Calibratable(Protocol):
    """An agent whose probabilities can be calibrated."""

    calibration: Calibration | None
    provenance: Provenance
    report: ValidationReport | None

    def signals(self, inputs: ModelInputs) -> Signals:
        """Signals of each row of `inputs`."""
        ...


def calibrate(
    agent: Calibratable,
    train: PooledDataset,
    validation: PooledDataset,
    metrics: dict[str, float],
    *,
    horizon_bars: int = max(HORIZONS),
) -> None:
    """Fit temperature and hold threshold on validation rows, and note the calibrated agent's figures there.

    Sets `calibration`, `report` and `provenance` of the agent. The figures flatter: the rows they are
    measured on chose the temperature, the hold threshold and, before, the epoch whose weights were kept.

    Args:
        agent: what to calibrate; a calibration it has is forgotten.
        train: the rows it was fitted on, for their shares of labels.
        validation: later rows.
        metrics: figures so far; those found here are added, undefined ones left out.
        horizon_bars: bars that a label, or anything else about a row, looks ahead.

    Raises:
        TrainingError: there are no validation rows.
    """
    agent.calibration = None
    raw, quantiles = _ask(agent, validation)
    found = fit_calibration(raw, validation.action, hold_share=hold_share(train))
    calibrated = found.apply(raw)
    report = _report(raw, calibrated, train, validation, horizon_bars)
    metrics |= validation_metrics(train, validation, calibrated)
    metrics |= _reading_metrics(report)
    metrics |= _decision_metrics(calibrated, found.hold_threshold, validation.action)
    if quantiles is not None:
        metrics |= _coverage_metrics(quantiles, validation.returns)
    agent.calibration, agent.report = found, report
    agent.provenance = replace(agent.provenance, metrics=dict(metrics))


def read(labels: Labels, probabilities: Floats32) -> Reading:
    """How far float32 [N, 3] probabilities can be taken at their word, given int8 [N] labels."""
    right, confidence = directional_rows(labels, probabilities)
    return Reading(
        log_loss=log_loss(probabilities, labels),
        ece=expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels),
        direction_ece=expected_calibration_error(confidence, right) if len(right) else None,
    )


def cross_fit(
    raw: Floats32, labels: Labels, moments: NDArray[np.int64], horizon_bars: int
) -> CrossFit | None:
    """Fit the temperature on each half of the time and read the other half with it.

    Args:
        raw: float32 [N, 3], uncalibrated.
        labels: int8 [N].
        moments: int64 [N], when each row was decided.
        horizon_bars: bars that a label looks ahead; so many before the later half are in neither.

    Returns:
        None if a half has fewer than 30 rows.
    """
    earlier, later = time_halves(moments, horizon_bars)
    if min(earlier.sum(), later.sum()) < _SMALLEST_HALF:
        return None
    temperatures = [fit_temperature(raw[half], labels[half]) for half in (earlier, later)]
    before, after = [], []
    for half, temperature in ((earlier, temperatures[1]), (later, temperatures[0])):
        before.append(read(labels[half], raw[half]))
        after.append(read(labels[half], Calibration(temperature=temperature).apply(raw[half])))
    rows = [int(earlier.sum()), int(later.sum())]
    return CrossFit(
        temperatures=(temperatures[0], temperatures[1]),
        rows=sum(rows),
        before=_mean(before, rows),
        after=_mean(after, rows),
    )


def time_halves(moments: NDArray[np.int64], gap_bars: int) -> tuple[Mask, Mask]:
    """bool [N] of the rows in the earlier and in the later half of the moments.

    The last `gap_bars` moments of the earlier half are in neither: their labels look into the later one.
    """
    every, place = np.unique(moments, return_inverse=True)
    cut = len(every) // 2
    return place < cut - gap_bars, place >= cut


def _ask(agent: Calibratable, rows: PooledDataset) -> tuple[Floats32, Floats32 | None]:
    """The agent's probabilities float32 [N, 3] and quantiles float32 [N, H, Q], chunk by chunk."""
    parts = []
    for start in range(0, len(rows), _CHUNK):
        said = agent.signals(rows.inputs(np.arange(start, min(start + _CHUNK, len(rows)))))
        parts.append((said.probabilities, said.quantiles))
    if not parts:
        return np.zeros((0, len(Action)), dtype=np.float32), None
    quantiles = [part[1] for part in parts if part[1] is not None]
    return np.concatenate([part[0] for part in parts]), np.concatenate(quantiles) if quantiles else None


def _report(
    raw: Floats32, calibrated: Floats32, train: PooledDataset, validation: PooledDataset, horizon_bars: int
) -> ValidationReport:
    labels, moments = validation.action, validation.timestamps
    block_bars = _BLOCK_LABELS * horizon_bars
    blocks = time_blocks(moments, block_bars)
    return ValidationReport(
        train=_rows_used(train),
        validation=_rows_used(validation),
        before=read(labels, raw),
        after=read(labels, calibrated),
        ece_noise=calibration_noise(calibrated.max(axis=1)),
        cross_fit=cross_fit(raw, labels, moments, horizon_bars),
        reliability_before=_reliability(labels, raw),
        reliability_after=_reliability(labels, calibrated),
        block_bars=block_bars,
        thresholds=confidence_curve(labels, calibrated, blocks),
        suggestion=suggest_threshold(labels, calibrated, blocks),
    )


def _rows_used(rows: PooledDataset) -> RowsUsed:
    if not rows.markets:
        return RowsUsed(rows=len(rows), symbols=(), first=None, last=None)
    first, last = (
        pd.Timestamp(int(rows.timestamps[row]), unit="ms", tz="UTC").isoformat() for row in (0, -1)
    )
    symbols = tuple(rows.markets[index].bars.symbol for index in np.unique(rows.market))
    return RowsUsed(rows=len(rows), symbols=symbols, first=first, last=last)


def _reliability(labels: Labels, probabilities: Floats32) -> Reliability:
    right, confidence = directional_rows(labels, probabilities)
    top = reliability_curve(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    return Reliability(top=_bins(top), direction=_bins(reliability_curve(confidence, right)))


def _bins(curve: ReliabilityCurve) -> tuple[ReliabilityBin, ...]:
    columns = zip(curve.confidence, curve.accuracy, curve.count, strict=True)
    return tuple(
        ReliabilityBin(stated=float(stated), met=float(met), rows=int(rows)) for stated, met, rows in columns
    )


def _mean(readings: list[Reading], rows: list[int]) -> Reading:
    """The readings averaged by rows."""
    directions = [item.direction_ece for item in readings if item.direction_ece is not None]
    known = len(directions) == len(readings)
    return Reading(
        log_loss=float(np.average([item.log_loss for item in readings], weights=rows)),
        ece=float(np.average([item.ece for item in readings], weights=rows)),
        direction_ece=float(np.average(directions, weights=rows)) if known else None,
    )


def _reading_metrics(report: ValidationReport) -> dict[str, float]:
    """Calibration figures by name; those without a suffix are of all rows, with the temperature."""
    figures: dict[str, float | None] = {
        "validation_log_loss_before": report.before.log_loss,
        "validation_ece_before": report.before.ece,
        "validation_ece": report.after.ece,
        "validation_ece_noise": report.ece_noise,
        "validation_direction_ece_before": report.before.direction_ece,
        "validation_direction_ece": report.after.direction_ece,
    }
    if report.cross_fit is not None:
        figures |= {
            "validation_log_loss_cross_fitted_before": report.cross_fit.before.log_loss,
            "validation_log_loss_cross_fitted": report.cross_fit.after.log_loss,
            "validation_ece_cross_fitted_before": report.cross_fit.before.ece,
            "validation_ece_cross_fitted": report.cross_fit.after.ece,
        }
    return _known(figures)


def _decision_metrics(probabilities: Floats32, hold_threshold: float, labels: Labels) -> dict[str, float]:
    """Accuracy over three classes, direction accuracy where the label is not HOLD, shares of the signals."""
    held = probabilities[:, Action.HOLD] >= hold_threshold
    signals = np.where(held, np.int8(Action.HOLD), direction(probabilities))
    accuracies = {
        "validation_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "validation_direction_accuracy": direction_accuracy(labels, probabilities),
        "validation_direction_accuracy_10": direction_accuracy(labels, probabilities, share=0.1),
        "validation_direction_accuracy_1": direction_accuracy(labels, probabilities, share=0.01),
    }
    shares = {
        f"validation_share_{action.name.lower()}": float((signals == action).mean()) for action in Action
    }
    return _known(accuracies | shares)


def _coverage_metrics(quantiles: Floats32, returns: Floats32) -> dict[str, float]:
    """Share of forward returns within the outermost quantiles, of all horizons together and of each."""
    known = np.isfinite(returns) & np.isfinite(quantiles).all(axis=2)
    inside = (returns >= quantiles[..., 0]) & (returns <= quantiles[..., -1])
    overall = float(inside[known].mean()) if known.any() else None
    each = zip(HORIZONS, quantile_coverage(returns, quantiles), strict=True)
    by_horizon = {f"validation_quantile_coverage_{bars}": float(share) for bars, share in each}
    return _known({"validation_quantile_coverage": overall} | by_horizon)


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    """The figures that are defined: JSON has no NaN."""
    return {name: value for name, value in figures.items() if value is not None and np.isfinite(value)}
