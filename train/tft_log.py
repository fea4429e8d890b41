"""TensorBoard log of TFT training."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from quantum_trader.envs.actions import Action
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.train.tft_figures import EpochReport, Explained, Figures

_RESOLUTION = 10_000


class TFTLog:
    """Scalars while training runs, validation figures and histograms after each epoch.

    Args:
        folder: where the event files go.
        first_step: batches done before; what an interrupted run logged beyond them is dropped from view.
    """

    def __init__(self, folder: Path, *, first_step: int = 0) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=first_step or None)

    def batch(self, step: int, figures: dict[str, float]) -> None:
        """Scalars of training at batch `step`."""
        for name, value in figures.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def epoch(self, step: int, report: EpochReport, explained: Explained) -> None:
        """Scalars and histograms of one epoch that ended at batch `step`."""
        for part, figures in (("epoch", report.train), ("validation", report.validation)):
            for name, value in _scalars(figures).items():
                self._writer.add_scalar(f"{part}/{name}", value, step)
        bars_back = np.repeat(
            np.arange(len(explained.attention))[::-1], np.rint(explained.attention * _RESOLUTION).astype(int)
        )
        if len(bars_back):
            self._writer.add_histogram("attention/bars_back", bars_back, step)
        names = FEATURE_NAMES if explained.importances.shape[1] == len(FEATURE_NAMES) else ()
        for column, name in enumerate(names):
            values = explained.importances[:, column]
            self._writer.add_histogram(f"importance/{name}", values, step)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _scalars(figures: Figures) -> dict[str, float]:
    shares = {f"share_{action.name.lower()}": figures.shares[action] for action in Action}
    return {
        "loss": figures.loss,
        "cross_entropy": figures.cross_entropy,
        "pinball": figures.pinball,
        "accuracy": figures.accuracy,
        **shares,
    }
