"""XGBoost, LightGBM and CatBoost as one agent: the mean of their probabilities, under one temperature.

Probabilities are averaged, not log-odds. The mean then lies within what the members say: one that is sure of
itself cannot overrule the others, and one that gives a class it never saw 0 does not forbid it. The mean of
calibrated forecasts is a little too flat (Ranjan and Gneiting 2010); the temperature mends that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import ModelFolder, Provenance
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tabular import by_feature, tabular
from quantum_trader.agents.tabular_agent import TabularAgent, open_tabular_folder, shared_arguments
from quantum_trader.agents.tree_members import MEMBER_FILES, TreeMember, load_member, mean_probabilities
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.scaler import FeatureScaler

KIND = "ensemble"

# Below this many rows, starting more threads costs more than they save.
_ROWS_WORTH_THREADS = 512


class EnsembleAgent(TabularAgent):
    """Several libraries' trees over the same summary numbers (see `quantum_trader.agents.tabular`).

    Args:
        members: fitted trees, one of each library at most.
        config: the training configuration as plain JSON values; `config["members"]` names the members.
        scaler: scaler of the features.
        calibration: of the averaged probabilities, or None.
        provenance: where the model comes from.
        n_jobs: threads for large batches; 0 takes all cores.
        model_hash: of the folder it was loaded from; "" for one not saved yet.

    Raises:
        ConfigError: `config` names other members than it is given.
    """

    name = KIND

    def __init__(
        self,
        members: Sequence[TreeMember],
        *,
        config: dict[str, Any],
        scaler: FeatureScaler,
        calibration: Calibration | None,
        provenance: Provenance,
        n_jobs: int = 0,
        model_hash: str = "",
    ) -> None:
        names = [member.name for member in members]
        if not _possible(names) or config.get("members") != names:
            raise ConfigError(
                f"members: expected the distinct ones that the config names, {config.get('members')}, "
                f"found {names}."
            )
        self.members = tuple(members)
        super().__init__(
            config=config,
            scaler=scaler,
            calibration=calibration,
            provenance=provenance,
            model_hash=model_hash,
        )
        self._threads = n_jobs

    def signals(self, inputs: ModelInputs) -> Signals:
        """Calibrated probabilities of each row; a row's answer does not depend on the rest of the batch."""
        return self._calibrated(mean_probabilities(self.member_probabilities(inputs)))

    def member_probabilities(self, inputs: ModelInputs) -> list[NDArray[np.floating]]:
        """What each member says, floats [B, 3], uncalibrated, in the order of `members`."""
        table = tabular(inputs)
        threads = 1 if len(inputs) < _ROWS_WORTH_THREADS else self._threads
        return [member.probabilities(table, threads) for member in self.members]

    @property
    def feature_importances(self) -> NDArray[np.float32]:
        """float32 [14]: mean over the members of each one's share of gain by window feature; sums to 1.

        A member without any split has no shares and is left out; all zero if no member has one.
        """
        total = np.sum([by_feature(member.gains()) for member in self.members], axis=0, dtype=np.float64)
        return np.asarray(total / total.sum() if total.sum() > 0 else total, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the model folder; `model_hash` is the folder's from then on."""
        self._save(path, {MEMBER_FILES[member.name]: member.save for member in self.members})

    @classmethod
    def load(cls, path: Path | str, *, n_jobs: int = 0) -> Self:
        """Load a model folder.

        Raises:
            ConfigError: the library of a member is not installed.
            ModelFolderError: the folder is missing, damaged, foreign, newer, or made for other columns.
        """
        path = Path(path)
        folder = open_tabular_folder(path, KIND)
        members = [load_member(name, folder.file(MEMBER_FILES[name])) for name in _names(folder)]
        return cls(members, n_jobs=n_jobs, **shared_arguments(folder))

    load_model = load


def _possible(names: Any) -> bool:
    """Whether `names` is a list of some of the known members, none twice."""
    return (
        isinstance(names, list)
        and bool(names)
        and all(isinstance(name, str) and name in MEMBER_FILES for name in names)
        and len(set(names)) == len(names)
    )


def _names(folder: ModelFolder) -> list[str]:
    names = folder.config.get("members")
    if not _possible(names):
        raise ModelFolderError(
            f"{folder.path}: expected members among {', '.join(MEMBER_FILES)}, found {names!r}: "
            "train the ensemble again."
        )
    return list(names or ())
