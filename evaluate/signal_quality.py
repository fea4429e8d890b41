"""Every measure of an agent's probabilities on labelled rows, gathered into one record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import intervals, signal_metrics as metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.folds import JudgedRows
from quantum_trader.evaluate.records import SignalMetrics

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]


def signal_quality(
    stated: Floats32,
    quantiles: Floats32 | None,
    test: JudgedRows,
    *,
    horizon: int,
    config: BootstrapConfig,
) -> SignalMetrics:
    """The quality of probabilities.

    Args:
        stated: float32 [N, 3], probabilities of the rows of `test`.
        quantiles: float32 [N, H, 3], Q10, Q50, Q90 of the forward returns, or None.
        test: N labelled rows, with the shares of the classes among the training labels.
        horizon: column of the forward returns that rank IC uses.
        config: how intervals are drawn.
    """
    labels, chosen, prior = test.action, stated.argmax(axis=1), test.prior
    moved = labels != Action.HOLD
    confidence = metrics.directional_confidence(stated[moved])
    right = metrics.direction(stated[moved]) == labels[moved]
    every, tenth, hundredth = (
        intervals.direction_accuracy(labels, stated, test.timestamps, share, config)
        for share in (1.0, 0.1, 0.01)
    )
    return SignalMetrics(
        rows=len(labels),
        accuracy=metrics.accuracy(labels, chosen),
        balanced_accuracy=metrics.balanced_accuracy(labels, chosen),
        matthews_correlation=metrics.matthews_correlation(labels, chosen),
        macro_f1=metrics.macro_f1(labels, chosen),
        log_loss=metrics.log_loss(labels, stated),
        log_loss_skill=intervals.log_loss_skill(labels, stated, prior, test.timestamps, config),
        brier=metrics.brier_score(labels, stated),
        brier_skill=metrics.brier_skill(labels, stated, prior),
        calibration_error=metrics.expected_calibration_error(stated.max(axis=1), chosen == labels),
        directional_calibration_error=metrics.expected_calibration_error(confidence, right),
        rank_ic=metrics.rank_ic(metrics.direction_margin(stated), test.returns[:, horizon]),
        direction_accuracy=every,
        direction_accuracy_10=tenth,
        direction_accuracy_1=hundredth,
        margin_accuracy_10=metrics.direction_accuracy(labels, stated, share=0.1, by="margin"),
        margin_accuracy_1=metrics.direction_accuracy(labels, stated, share=0.01, by="margin"),
        signal_shares=shares(metrics.class_shares(chosen)),
        label_shares=shares(metrics.class_shares(labels)),
        confusion=cells(metrics.confusion_matrix(labels, chosen)),
        quantile_coverage=None if quantiles is None else _coverage(test, quantiles),
    )


def shares(values: Floats) -> tuple[float, float, float]:
    """float64 [3] as a tuple."""
    return float(values[0]), float(values[1]), float(values[2])


def _coverage(test: JudgedRows, quantiles: Floats32) -> tuple[float, ...]:
    return tuple(float(share) for share in metrics.quantile_coverage(test.returns, quantiles))


def cells(matrix: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """int64 [3, 3] as tuples."""
    return tuple((int(row[0]), int(row[1]), int(row[2])) for row in matrix)
