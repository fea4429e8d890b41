"""What calibration found on validation rows, as records that lie beside the model and can be looked at."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.agents.confidence_curve import Suggestion, ThresholdRow
from quantum_trader.agents.folder import ModelFolder
from quantum_trader.envs.config import read_config
from quantum_trader.envs.errors import ConfigError, ModelFolderError

REPORT = "calibration.json"
"""The report's file in a model folder."""


@dataclass(frozen=True, kw_only=True)
class RowsUsed:
    """The rows that something was fitted or measured on."""

    rows: int
    symbols: tuple[str, ...]
    """Names of the markets; empty for windows without one."""
    first: str | None
    """Open of the first decision bar, ISO 8601 in UTC; None for windows without a market."""
    last: str | None
    """Open of the last one."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How far probabilities can be taken at their word."""

    log_loss: float
    """Mean of -ln P(label), in nats."""
    ece: float
    """Mean gap between stated and met frequency of the most probable action, 15 bins of equal mass."""
    direction_ece: float | None
    """The same of directional confidence, on rows whose label is not HOLD; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class CrossFit:
    """Temperatures fitted on one half of the time and measured on the other, both ways."""

    temperatures: tuple[float, float]
    """Of the earlier and of the later half; far apart, they say that one temperature will not last."""
    rows: int
    """Rows measured on; those whose labels look into the later half are left out."""
    before: Reading
    """Without a temperature, each half read for itself, then averaged by rows."""
    after: Reading
    """With the temperature of the other half, read in the same way."""


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Rows of about one stated probability."""

    stated: float
    """Mean stated probability."""
    met: float
    """Share of the rows where it came true."""
    rows: int


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Bins of equal mass, least confident first."""

    top: tuple[ReliabilityBin, ...]
    """Probability of the most probable action against how often that was the label."""
    direction: tuple[ReliabilityBin, ...]
    """Directional confidence against how often the direction was right, on rows whose label is not HOLD."""


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What calibration found. Temperature and hold threshold were fitted on the same rows: figures on them
    flatter a little, and those of `cross_fit` less."""

    train: RowsUsed
    validation: RowsUsed
    before: Reading
    """As the network says it."""
    after: Reading
    """With the temperature."""
    ece_noise: float
    """`Reading.ece` that a perfectly calibrated model would show on as many independent rows."""
    cross_fit: CrossFit | None
    """None where the validation rows are too few to be halved."""
    reliability_before: Reliability
    reliability_after: Reliability
    block_bars: int
    """Length of the blocks of time that the intervals of `thresholds` take for independent."""
    thresholds: tuple[ThresholdRow, ...]
    """Direction accuracy from a confidence on, with the temperature."""
    suggestion: Suggestion
    """What confidence threshold these rows speak for."""


def read_report(folder: ModelFolder) -> ValidationReport | None:
    """The report in a model folder; None for a model that has none.

    Raises:
        ModelFolderError: the file differs from its record or does not hold a report.
    """
    if REPORT not in folder.files:
        return None
    try:
        return read_config(ValidationReport, folder.file(REPORT))
    except ConfigError as error:
        raise ModelFolderError(f"{error} The file is damaged or foreign: train the model again.") from error
