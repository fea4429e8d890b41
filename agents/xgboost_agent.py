"""Gradient-boosted trees in service: predicts without torch, from a model folder with the trees as UBJSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tabular import TABULAR_NAMES, by_feature, tabular
from quantum_trader.agents.tabular_agent import TabularAgent, open_tabular_folder, shared_arguments
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.scaler import FeatureScaler

KIND = "xgboost"
TREES = "trees.ubj"

# Below this many rows, starting more threads costs more than they save.
_ROWS_WORTH_THREADS = 512


class XGBoostAgent(TabularAgent):
    """Trees over summary numbers of the window (see `quantum_trader.agents.tabular`).

    Args:
        booster: fitted trees that give three probabilities a row.
        config: the training configuration as plain JSON values.
        scaler: scaler of the features.
        calibration: temperature of the probabilities, or None.
        provenance: where the model comes from.
        n_jobs: threads for large batches; 0 takes all cores.
        model_hash: of the folder it was loaded from; "" for one not saved yet.
    """

    name = KIND

    def __init__(
        self,
        booster: xgboost.Booster,
        *,
        config: dict[str, Any],
        scaler: FeatureScaler,
        calibration: Calibration | None,
        provenance: Provenance,
        n_jobs: int = 0,
        model_hash: str = "",
    ) -> None:
        self.booster = booster
        super().__init__(
            config=config,
            scaler=scaler,
            calibration=calibration,
            provenance=provenance,
            model_hash=model_hash,
        )
        self._threads = n_jobs
        self._threads_set: int | None = None

    def signals(self, inputs: ModelInputs) -> Signals:
        """Calibrated probabilities of each row; a row's answer does not depend on the rest of the batch."""
        self._use_threads(1 if len(inputs) < _ROWS_WORTH_THREADS else self._threads)
        raw: NDArray[np.float32] = self.booster.inplace_predict(tabular(inputs), validate_features=False)
        probabilities = raw.reshape(len(inputs), 3)
        return self._calibrated(probabilities)

    @property
    def feature_importances(self) -> NDArray[np.float32]:
        """float32 [14]: share of the total gain of all splits by feature of the window; sums to 1."""
        gains = self.booster.get_score(importance_type="total_gain")
        return by_feature(np.array([gains.get(name, 0.0) for name in TABULAR_NAMES], dtype=np.float32))

    def save(self, path: Path) -> None:
        """Write the model folder; `model_hash` is the folder's from then on."""
        self._save(path, {TREES: self.booster.save_model})

    @classmethod
    def load(cls, path: Path | str, *, n_jobs: int = 0) -> Self:
        """Load a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, foreign, newer, or made for other columns.
        """
        path = Path(path)
        folder = open_tabular_folder(path, KIND)
        booster = xgboost.Booster()
        try:
            booster.load_model(folder.file(TREES))
        except xgboost.core.XGBoostError as error:
            raise ModelFolderError(
                f"{path / TREES} cannot be read by xgboost {xgboost.__version__}: train the model again."
            ) from error
        return cls(
            booster,
            n_jobs=n_jobs,
            **shared_arguments(folder),
        )

    load_model = load

    def _use_threads(self, threads: int) -> None:
        if threads != self._threads_set:
            self.booster.set_param({"nthread": threads})
            self._threads_set = threads
