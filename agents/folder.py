"""Model folders: how a fitted agent lies on disk, and the checks that a damaged or foreign one fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from quantum_trader.agents.calibration import Calibration
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import atomic_folder, file_sha256, json_sha256, write_json
from quantum_trader.envs.scaler import FeatureScaler

FORMAT_VERSION = 1
"""Raised whenever a folder written now could not be read by older software."""

MANIFEST = "config.json"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a model comes from."""

    feature_set: str
    """`FEATURE_SET_VERSION` of the software that trained it."""
    data_sha256: str
    """Hash of the training data (see `data_digest`)."""
    seed: int
    """Seed of the fit."""
    created_with: str
    """Version of this software."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures measured on validation rows."""

    @classmethod
    def now(cls, *, data_sha256: str, seed: int, metrics: Mapping[str, float]) -> Self:
        """The provenance of a model fitted by this software on its own feature set."""
        return cls(
            feature_set=FEATURE_SET_VERSION,
            data_sha256=data_sha256,
            seed=seed,
            created_with=software_version(),
            metrics=dict(metrics),
        )


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """What a file of the folder must be."""

    sha256: str
    """Hex SHA-256 of its bytes."""
    size: int
    """Its length in bytes."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`config.json` of a model folder, read strictly."""

    format_version: int
    """`FORMAT_VERSION` of the software that wrote it."""
    kind: str
    """Which agent the folder holds, e.g. "xgboost"."""
    config: dict[str, Any]
    """The model's resolved configuration."""
    scaler: FeatureScaler
    """Scaler of the features, fitted on training rows."""
    calibration: Calibration | None
    """Calibration fitted on validation rows; None for an uncalibrated model."""
    provenance: Provenance
    """Data, seed and software behind the model."""
    extra: dict[str, Any]
    """Whatever else the agent keeps, as plain JSON."""
    files: dict[str, FileRecord]
    """What every other file of the folder must be, by name."""


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model folder whose manifest has been read and whose files have been checked."""

    path: Path
    kind: str
    config: dict[str, Any]
    scaler: FeatureScaler
    calibration: Calibration | None
    provenance: Provenance
    extra: dict[str, Any]
    sha256: str
    """Hash of the manifest, which holds the hash of every file: it identifies the model ("model hash")."""
    files: Mapping[str, FileRecord]

    def file(self, name: str) -> Path:
        """Path of a file of the folder, checked against its recorded hash at this moment.

        Raises:
            ModelFolderError: the folder records no such file, or the file differs from its record.
        """
        if name not in self.files:
            raise ModelFolderError(
                f"{self.path}: the {self.kind} model has no file {name}: save the model again."
            )
        _check_file(self.path / name, self.files[name])
        return self.path / name


def data_digest(digests: list[str]) -> str:
    """Hex SHA-256 that stands for several markets' bars in any order; takes each one's `Bars.digest`."""
    return json_sha256(sorted(digests))


def software_version() -> str:
    """Version of the installed package; "0" when run from a tree that is not installed."""
    try:
        return version("quantum-trader")
    except PackageNotFoundError:
        return "0"


def save_model_folder(
    path: Path,
    *,
    kind: str,
    config: Any,
    scaler: FeatureScaler,
    calibration: Calibration | None,
    provenance: Provenance,
    files: Mapping[str, Callable[[Path], None]],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model folder whole or not at all; one that stands at `path` is replaced.

    Args:
        path: the folder.
        kind: which agent it holds.
        config: a frozen dataclass or a plain dict.
        scaler: scaler of the features.
        calibration: temperature of the probabilities, or None.
        provenance: where the model comes from.
        files: file name -> a function that writes the file at the path it is given.
        extra: further plain JSON values.
    """
    with atomic_folder(path) as folder:
        records: dict[str, FileRecord] = {}
        for name, write in files.items():
            write(folder / name)
            size = (folder / name).stat().st_size
            records[name] = FileRecord(sha256=file_sha256(folder / name), size=size)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            kind=kind,
            config=to_plain(config),
            scaler=scaler,
            calibration=calibration,
            provenance=provenance,
            extra=to_plain(dict(extra or {})),
            files=records,
        )
        write_json(folder / MANIFEST, to_plain(manifest))


def load_model_folder(path: Path | str, *, kind: str | None = None) -> ModelFolder:
    """Read and check a model folder.

    Args:
        path: the folder.
        kind: the kind expected; None accepts any.

    Raises:
        ModelFolderError: the folder is missing, cannot be read, is damaged, of another kind, written by newer
            software, or made for another feature set.
    """
    try:
        return _load(Path(path), kind)
    except OSError as error:
        raise ModelFolderError(
            f"{error.filename or path} cannot be read ({error.strerror or error}): let this user read the "
            "folder and all its files, or copy it again."
        ) from error


def _load(path: Path, kind: str | None) -> ModelFolder:
    plain = _read_manifest(path)
    _check_format(path, plain)
    try:
        manifest = from_plain(Manifest, plain, where=str(path / MANIFEST))
    except ConfigError as error:
        raise ModelFolderError(f"{error} The file is damaged or edited: save the model again.") from error
    _check_kind(path, manifest.kind, kind)
    _check_feature_set(path, manifest.provenance.feature_set)
    for name, record in manifest.files.items():
        _check_file(path / name, record)
    return ModelFolder(
        path=path,
        kind=manifest.kind,
        config=manifest.config,
        scaler=manifest.scaler,
        calibration=manifest.calibration,
        provenance=manifest.provenance,
        extra=manifest.extra,
        sha256=json_sha256(plain),
        files=manifest.files,
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ModelFolderError(
            f"{path} does not exist: train a model first, or give the path of a model folder."
        )
    if not path.is_dir() or not (path / MANIFEST).is_file():
        raise ModelFolderError(
            f"{path} is not a model folder: it holds no {MANIFEST}; give the folder itself."
        )
    try:
        plain = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFolderError(
            f"{path / MANIFEST} is damaged or truncated ({error}): copy the folder again or train anew."
        ) from error
    if not isinstance(plain, dict):
        raise ModelFolderError(
            f"{path / MANIFEST} is damaged: expected an object, found {type(plain).__name__}."
        )
    return plain


def _check_format(path: Path, plain: Mapping[str, Any]) -> None:
    """Before the strict reading, because a newer format may have fields that this software does not know."""
    found = plain.get("format_version")
    if not isinstance(found, int) or found < 1:
        raise ModelFolderError(f"{path} is not a model folder: its {MANIFEST} names no format_version.")
    if found > FORMAT_VERSION:
        raise ModelFolderError(
            f"{path} has format {found}, newer than format {FORMAT_VERSION} of this software: "
            "upgrade quantum-trader or train the model with this version."
        )


def _check_kind(path: Path, found: str, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise ModelFolderError(
            f"{path}: expected {expected}, found {found}: give the folder of a {expected} model."
        )


def _check_feature_set(path: Path, found: str) -> None:
    if found != FEATURE_SET_VERSION:
        raise ModelFolderError(
            f"{path} was trained on feature set {found}, this software computes {FEATURE_SET_VERSION}: "
            "train the model again or install the version that made it."
        )


def _check_file(path: Path, record: FileRecord) -> None:
    if not path.is_file():
        raise ModelFolderError(f"{path} is missing: copy the model folder again, with all its files.")
    if path.stat().st_size != record.size or file_sha256(path) != record.sha256:
        raise ModelFolderError(
            f"{path} is damaged (its SHA-256 differs from {MANIFEST}): copy the folder again."
        )
