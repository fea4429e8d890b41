"""TensorBoard log of training a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from quantum_trader.agents.signals import directional_confidence
from quantum_trader.agents.validation_report import ValidationReport
from quantum_trader.envs.actions import Action
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.train.network_figures import EpochReport, Explained, Figures
from quantum_trader.train.network_images import calibration_image, importance_image, reliability_image

_RESOLUTION = 10_000
_COMPARED = (
    "validation_log_loss",
    "validation_skill",
    "validation_accuracy",
    "validation_direction_accuracy",
    "validation_ece",
)
"""Final figures that the table of hyper-parameters compares runs by."""


class NetworkLog:
    """Scalars while training runs; figures, histograms and pictures of validation rows after each epoch;
    at the end a line in the table of hyper-parameters.

    Args:
        folder: where the event files go.
        first_step: batches done before; what an interrupted run logged beyond them is dropped from view.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        # Batch `first_step` itself, and the epoch that may have ended with it, are done and stay in view.
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1 if first_step else None)
        self._events: Any = self._writer.file_writer

    def batch(self, step: int, figures: dict[str, float]) -> None:
        """Scalars of training at batch `step`."""
        for name, value in figures.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def epoch(self, step: int, report: EpochReport, explained: Explained) -> None:
        """Scalars, histograms and pictures of one epoch that ended at batch `step`."""
        for part, figures in (("epoch", report.train), ("validation", report.validation)):
            for name, value in _scalars(figures).items():
                self._writer.add_scalar(f"{part}/{name}", value, step)
        self._attention(step, explained)
        self._importances(step, explained)
        if explained.probabilities is not None and explained.labels is not None:
            self._confidence(step, explained.probabilities, explained.labels)
        self._writer.flush()

    def outcome(
        self,
        step: int,
        *,
        model: Any,
        training: Any,
        metrics: Mapping[str, float],
        report: ValidationReport | None = None,
    ) -> None:
        """What came of the training: its line in the table of hyper-parameters, and its calibration.

        `SummaryWriter.add_hparams` would open a run of its own for that; here it is the run that has the
        curves.

        Args:
            step: batches done.
            model: shape of the network, a dataclass; its fields appear as "model.hidden" and so on.
            training: how it was fitted, a dataclass; "training.learning_rate" and so on.
            metrics: final figures; those of `_COMPARED` go into the table, all of them become scalars.
            report: what calibration found, or None.
        """
        settings = _flat("model", model) | _flat("training", training)
        compared = {f"final/{name}": metrics[name] for name in _COMPARED if name in metrics}
        for summary in hparams(settings, compared):  # type: ignore[no-untyped-call]
            self._events.add_summary(summary)
        for name, value in metrics.items():
            self._writer.add_scalar(f"final/{name}", value, step)
        if report is not None:
            self._image("final/calibration", step, _calibration(report))
        self._writer.flush()

    def _attention(self, step: int, explained: Explained) -> None:
        if explained.attention is None:
            return
        weights = np.rint(explained.attention * _RESOLUTION).astype(int)
        bars_back = np.repeat(np.arange(len(weights))[::-1], weights)
        if len(bars_back):
            self._writer.add_histogram("attention/bars_back", bars_back, step)

    def _importances(self, step: int, explained: Explained) -> None:
        importances = explained.importances
        if importances is None or importances.shape[1] != len(FEATURE_NAMES):
            return
        for column, name in enumerate(FEATURE_NAMES):
            self._writer.add_histogram(f"importance/{name}", importances[:, column], step)
        if explained.importances_by_bar is not None:
            picture = importance_image(explained.importances_by_bar, FEATURE_NAMES)
            self._image("importance/by_bar", step, picture)

    def _confidence(self, step: int, probabilities: NDArray[np.float32], labels: NDArray[np.integer]) -> None:
        """How sure the network is, and how rightly; before any calibration."""
        self._writer.add_histogram("confidence/most_probable", probabilities.max(axis=1), step)
        self._writer.add_histogram("confidence/directional", directional_confidence(probabilities), step)
        self._image("validation/reliability", step, reliability_image(probabilities, labels))

    def _image(self, tag: str, step: int, picture: NDArray[np.uint8]) -> None:
        # Not add_figure, which draws by way of pyplot and so of the process's global backend.
        self._writer.add_image(tag, picture, step, dataformats="HWC")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _calibration(report: ValidationReport) -> NDArray[np.uint8]:
    return calibration_image(report.reliability_before, report.reliability_after)


def _flat(prefix: str, config: Any) -> dict[str, bool | int | float | str]:
    """A config's fields as the table of hyper-parameters takes them: what is no number or word is written."""
    return {
        f"{prefix}.{name}": value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in to_plain(config).items()
    }


def _scalars(figures: Figures) -> dict[str, float]:
    shares = {f"share_{action.name.lower()}": figures.shares[action] for action in Action}
    return {
        "loss": figures.loss,
        "cross_entropy": figures.cross_entropy,
        "pinball": figures.pinball,
        "accuracy": figures.accuracy,
        **shares,
    }
