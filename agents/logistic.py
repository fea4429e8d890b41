"""Multinomial logistic regression on the summary numbers: the yardstick every other model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tabular import by_feature, tabular
from quantum_trader.agents.tabular_agent import TabularAgent, open_tabular_folder, shared_arguments
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.scaler import FeatureScaler

Floats32 = NDArray[np.float32]

KIND = "logistic"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticWeights:
    """The fitted numbers; `K` is `TABULAR_SIZE`.

    Attributes:
        mean, scale: float32 [K], standardise the columns; from training rows.
        coefficients: float32 [K, 3], columns in the order of `Action`.
        intercept: float32 [3].
    """

    mean: Floats32
    scale: Floats32
    coefficients: Floats32
    intercept: Floats32

    def probabilities(self, table: Floats32) -> Floats32:
        """float32 [B, 3] of the summary rows `table`, float32 [B, K]; rows sum to 1.

        A row's answer does not depend on the other rows, to the bit.
        """
        standard = (table - self.mean) / self.scale
        # A product for each row: one for all would add up in an order that depends on how many there are.
        logits = (standard[:, None] @ self.coefficients)[:, 0] + self.intercept
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)


class LogisticAgent(TabularAgent):
    """A linear model over the summary numbers, applied with numpy alone.

    Args:
        weights: the fitted numbers.
        config: the training configuration as plain JSON values.
        scaler: scaler of the features.
        calibration: temperature of the probabilities, or None.
        provenance: where the model comes from.
        model_hash: of the folder it was loaded from; "" for one not saved yet.
    """

    name = KIND

    def __init__(
        self,
        weights: LogisticWeights,
        *,
        config: dict[str, Any],
        scaler: FeatureScaler,
        calibration: Calibration | None,
        provenance: Provenance,
        model_hash: str = "",
    ) -> None:
        self.weights = weights
        super().__init__(
            config=config,
            scaler=scaler,
            calibration=calibration,
            provenance=provenance,
            model_hash=model_hash,
        )

    def signals(self, inputs: ModelInputs) -> Signals:
        """Calibrated probabilities of each row."""
        probabilities = self.weights.probabilities(tabular(inputs))
        return self._calibrated(probabilities)

    @property
    def feature_importances(self) -> Floats32:
        """float32 [14]: share of the absolute standardised coefficients by window feature; sums to 1."""
        return by_feature(np.abs(self.weights.coefficients).sum(axis=1))

    def save(self, path: Path) -> None:
        """Write the model folder; `model_hash` is the folder's from then on."""
        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self.weights).items()}
        self._save(path, {WEIGHTS: lambda target: save_file(arrays, target)})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Load a model folder.

        Raises:
            ModelFolderError: the folder is missing, damaged, foreign, newer, or made for other columns.
        """
        path = Path(path)
        folder = open_tabular_folder(path, KIND)
        try:
            weights = LogisticWeights(**load_file(folder.file(WEIGHTS)))
        except (SafetensorError, TypeError) as error:
            raise ModelFolderError(f"{path / WEIGHTS} does not fit its model: train it again.") from error
        return cls(
            weights,
            **shared_arguments(folder),
        )

    load_model = load
