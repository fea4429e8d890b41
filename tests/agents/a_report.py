"""A calibration report whose figures are all different, so that each can be found again."""

from __future__ import annotations

from quantum_trader.agents.confidence_curve import Suggestion, ThresholdRow
from quantum_trader.agents.validation_report import (
    CrossFit,
    Reading,
    Reliability,
    ReliabilityBin,
    RowsUsed,
    ValidationReport,
)

RELIABILITY = Reliability(
    top=(ReliabilityBin(stated=0.412, met=0.437, rows=333),),
    direction=(ReliabilityBin(stated=0.523, met=0.519, rows=221),),
)
FOUND = ValidationReport(
    train=RowsUsed(rows=12_345, symbols=("AAA", "BBB"), first="2019-01-02T03:00:00+00:00", last="2020-05-06"),
    validation=RowsUsed(rows=4_321, symbols=("AAA",), first="2020-06-01T00:00:00+00:00", last="2020-09-01"),
    before=Reading(log_loss=1.2345, ece=0.1234, direction_ece=0.2345),
    after=Reading(log_loss=1.1357, ece=0.0246, direction_ece=0.0357),
    ece_noise=0.0123,
    cross_fit=CrossFit(
        temperatures=(1.5151, 1.7171),
        rows=4_309,
        before=Reading(log_loss=1.2346, ece=0.1235, direction_ece=0.2346),
        after=Reading(log_loss=1.1468, ece=0.0468, direction_ece=None),
    ),
    reliability_before=RELIABILITY,
    reliability_after=RELIABILITY,
    block_bars=48,
    thresholds=(
        ThresholdRow(threshold=0.5, coverage=1.0, rows=3_000, accuracy=0.5123, low=0.4901, high=0.5347),
        ThresholdRow(threshold=0.6, coverage=0.0123, rows=7, accuracy=None, low=None, high=None),
    ),
    suggestion=Suggestion(threshold=None, rule="no threshold meets the criterion"),
)
