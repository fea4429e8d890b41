"""`TabularAgent`: what the learners on the summary table have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import ModelFolder, Provenance, load_model_folder, save_model_folder
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import Signals
from quantum_trader.agents.tabular import TABULAR_NAMES
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.scaler import FeatureScaler


class TabularAgent(LiveAgent):
    """An agent over the columns of `quantum_trader.agents.tabular`, calibrated, with a model folder.

    Args:
        config: the training configuration as plain JSON values.
        scaler: scaler of the features.
        calibration: fitted on validation rows, or None.
        provenance: where the model comes from.
        model_hash: of the folder it was loaded from; "" for one not saved yet.
    """

    def __init__(
        self,
        *,
        config: dict[str, Any],
        scaler: FeatureScaler,
        calibration: Calibration | None,
        provenance: Provenance,
        model_hash: str,
    ) -> None:
        self.config = config
        self.scaler = scaler
        self.calibration = calibration
        self.provenance = provenance
        self.model_hash = model_hash

    def _calibrated(self, probabilities: NDArray[np.float32]) -> Signals:
        """float32 [B, 3] as the model gives them -> what the agent answers."""
        return Signals(
            probabilities=self.calibration.apply(probabilities) if self.calibration else probabilities
        )

    def _save(self, path: Path, files: Mapping[str, Callable[[Path], None]]) -> None:
        """Write the model folder with `files`; `model_hash` is the folder's from then on."""
        save_model_folder(
            path,
            kind=self.name,
            config=self.config,
            scaler=self.scaler,
            calibration=self.calibration,
            provenance=self.provenance,
            files=files,
            extra={"columns": list(TABULAR_NAMES)},
        )
        self.model_hash = load_model_folder(path, kind=self.name).sha256


def open_tabular_folder(path: Path, kind: str) -> ModelFolder:
    """Read and check the model folder of a `TabularAgent`.

    Raises:
        ModelFolderError: the folder is missing, damaged, foreign, newer, or made for other columns.
    """
    folder = load_model_folder(path, kind=kind)
    if folder.extra.get("columns") != list(TABULAR_NAMES):
        raise ModelFolderError(
            f"{path} was trained on other summary columns than this software computes: train it again."
        )
    return folder


def shared_arguments(folder: ModelFolder) -> dict[str, Any]:
    """The arguments of `TabularAgent` that a model folder holds."""
    return {
        "config": folder.config,
        "scaler": folder.scaler,
        "calibration": folder.calibration,
        "provenance": folder.provenance,
        "model_hash": folder.sha256,
    }
