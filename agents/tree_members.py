"""The boosting libraries behind the ensemble: the same methods for each, a file of its own format for each.

LightGBM and CatBoost are the extra "trees"; they are imported when a member of theirs is fitted or loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from quantum_trader.agents.tabular import TABULAR_NAMES, TABULAR_SIZE
from quantum_trader.envs.errors import ConfigError, ModelFolderError

Floats32 = NDArray[np.float32]


class TreeMember(Protocol):
    """Fitted trees of one library."""

    @property
    def name(self) -> str:
        """Which library: a key of `MEMBER_FILES`."""
        ...

    def probabilities(self, table: Floats32, threads: int = 1) -> NDArray[np.floating]:
        """floats [B, 3] of the summary rows `table`, float32 [B, TABULAR_SIZE]; 0 threads takes all cores.

        A row's answer does not depend on the other rows or on the threads, to the bit.
        """
        ...

    def gains(self) -> Floats32:
        """float32 [TABULAR_SIZE]: what the splits on each column are worth, in the library's own unit."""
        ...

    def rounds(self) -> int:
        """Boosting rounds that the trees come from."""
        ...

    def save(self, path: Path) -> None:
        """Write the trees; equal trees are equal bytes."""
        ...


class XGBoostMember:
    """XGBoost's trees, as UBJSON.

    Args:
        booster: gives three probabilities a row.
    """

    name = "xgboost"

    def __init__(self, booster: xgboost.Booster) -> None:
        self.booster = booster
        self._threads: int | None = None

    def probabilities(self, table: Floats32, threads: int = 1) -> NDArray[np.floating]:
        """See `TreeMember`."""
        if threads != self._threads:
            self.booster.set_param({"nthread": threads})
            self._threads = threads
        found: Floats32 = self.booster.inplace_predict(table, validate_features=False)
        return found

    def gains(self) -> Floats32:
        """The total reduction of the loss by the splits on each column."""
        gains = self.booster.get_score(importance_type="total_gain")
        return np.array([gains.get(name, 0.0) for name in TABULAR_NAMES], dtype=np.float32)

    def rounds(self) -> int:
        """See `TreeMember`."""
        return int(self.booster.num_boosted_rounds())

    def save(self, path: Path) -> None:
        """See `TreeMember`."""
        self.booster.save_model(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`."""
        booster = xgboost.Booster()
        booster.load_model(path)
        return cls(booster)


class LightGBMMember:
    """LightGBM's trees, as its text model.

    Args:
        text: the text model. The booster is read from it even right after the fit, so that an agent answers
            the same before it is saved and after.
    """

    name = "lightgbm"

    def __init__(self, text: str) -> None:
        self.text = text
        self.booster = member_library(self.name).Booster(model_str=text)

    def probabilities(self, table: Floats32, threads: int = 1) -> NDArray[np.floating]:
        """See `TreeMember`."""
        found: NDArray[np.float64] = self.booster.predict(table, num_threads=threads)
        return found

    def gains(self) -> Floats32:
        """The total reduction of the loss by the splits on each column."""
        return np.asarray(self.booster.feature_importance("gain"), dtype=np.float32)

    def rounds(self) -> int:
        """See `TreeMember`."""
        return int(self.booster.current_iteration())

    def save(self, path: Path) -> None:
        """See `TreeMember`."""
        path.write_text(self.text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`."""
        return cls(path.read_text(encoding="utf-8"))


class CatBoostMember:
    """CatBoost's trees, in its binary format.

    Args:
        content: the model as the bytes of a .cbm file. They are kept, because CatBoost writes a model that it
            has read a little differently.
    """

    name = "catboost"

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.model = member_library(self.name).CatBoost()
        self.model.load_model(blob=content)

    def probabilities(self, table: Floats32, threads: int = 1) -> NDArray[np.floating]:
        """See `TreeMember`."""
        found: NDArray[np.float64] = self.model.predict(
            table, prediction_type="Probability", thread_count=threads or -1
        )
        return found

    def gains(self) -> Floats32:
        """How far the answers move, on average, when a column moves a row to another leaf."""
        values = self.model.get_feature_importance(type="PredictionValuesChange", thread_count=1)
        return np.asarray(values, dtype=np.float32)

    def rounds(self) -> int:
        """See `TreeMember`."""
        return int(self.model.tree_count_)

    def save(self, path: Path) -> None:
        """See `TreeMember`."""
        path.write_bytes(self.content)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`."""
        return cls(path.read_bytes())


_LOADERS: dict[str, Callable[[Path], TreeMember]] = {
    "xgboost": XGBoostMember.load,
    "lightgbm": LightGBMMember.load,
    "catboost": CatBoostMember.load,
}

MEMBER_FILES: dict[str, str] = {
    "xgboost": "xgboost.ubj",
    "lightgbm": "lightgbm.txt",
    "catboost": "catboost.cbm",
}
"""Name of each possible member -> its file in the model folder."""


def member_library(name: str) -> Any:
    """The module of a member's library.

    Raises:
        ConfigError: it is not installed, or lacks a library of the system.
    """
    try:
        return importlib.import_module(name)
    # LightGBM without the system's OpenMP library is an OSError.
    except (ImportError, OSError) as error:
        raise ConfigError(
            f'The ensemble member "{name}" cannot be imported ({error}): '
            'pip install "quantum-trader[trees]", or train with fewer --ensemble.members.'
        ) from error


def load_member(name: str, path: Path) -> TreeMember:
    """Read a member's file and try it on one row.

    Raises:
        ConfigError: its library is not installed.
        ModelFolderError: the file is not such trees, or those of another table.
    """
    library = member_library(name)
    try:
        member = _LOADERS[name](path)
        tried = member.probabilities(np.zeros((1, TABULAR_SIZE), dtype=np.float32))
    # Three libraries read bytes that may be anything, and each has errors of its own.
    except Exception as error:
        raise ModelFolderError(
            f"{path} cannot be read by {name} {library.__version__}: train the ensemble again."
        ) from error
    if tried.shape != (1, 3):
        raise ModelFolderError(
            f"{path} gives answers of shape {tried.shape}, expected (1, 3): train the ensemble again."
        )
    return member


def mean_probabilities(answers: Sequence[NDArray[np.floating]]) -> Floats32:
    """float32 [B, 3]: the mean of the members' floats [B, 3], a linear opinion pool (Stone 1961)."""
    total = answers[0].astype(np.float64)
    for answer in answers[1:]:
        total = total + answer
    return np.asarray(total / len(answers), dtype=np.float32)
