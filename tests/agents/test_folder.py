from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import (
    FORMAT_VERSION,
    MANIFEST,
    ModelFolder,
    Provenance,
    data_digest,
    load_model_folder,
    save_model_folder,
)
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import atomic_folder
from quantum_trader.envs.scaler import REFERENCE_SCALER

WEIGHTS = b"weights 0123456789"


def save(path: Path, **changes: Any) -> ModelFolder:
    """A small model folder of kind "xgboost"."""
    arguments: dict[str, Any] = {
        "kind": "xgboost",
        "config": {"depth": 5, "rates": [0.1, 0.2]},
        "scaler": REFERENCE_SCALER,
        "calibration": Calibration(temperature=1.25),
        "provenance": Provenance.now(data_sha256="ab" * 32, seed=3, metrics={"log_loss": 1.08}),
        "files": {"trees.ubj": lambda target: target.write_bytes(WEIGHTS)},
        "extra": {"columns": ["a", "b"]},
    }
    save_model_folder(path, **(arguments | changes))
    return load_model_folder(path, kind=None)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as an editor would."""
    plain = json.loads((path / MANIFEST).read_text())
    change(plain)
    (path / MANIFEST).write_text(json.dumps(plain))


def test_everything_comes_back(tmp_path: Path) -> None:
    """A folder read is the folder written, field by field."""
    folder = save(tmp_path / "model")
    assert folder.kind == "xgboost"
    assert folder.config == {"depth": 5, "rates": [0.1, 0.2]}
    assert folder.scaler == REFERENCE_SCALER
    assert folder.calibration == Calibration(temperature=1.25)
    assert folder.provenance.seed == 3
    assert folder.provenance.metrics == {"log_loss": 1.08}
    assert folder.provenance.feature_set == FEATURE_SET_VERSION
    assert folder.extra == {"columns": ["a", "b"]}
    assert folder.file("trees.ubj").read_bytes() == WEIGHTS
    assert load_model_folder(tmp_path / "model", kind="xgboost").sha256 == folder.sha256


def test_hash_stands_for_the_whole_model(tmp_path: Path) -> None:
    """Equal models have equal hashes; another byte in a file, or another temperature, is another hash."""
    first = save(tmp_path / "first").sha256
    assert save(tmp_path / "again").sha256 == first
    assert save(tmp_path / "cold", calibration=None).sha256 != first
    other = {"trees.ubj": lambda target: target.write_bytes(WEIGHTS[:-1] + b"X")}
    assert save(tmp_path / "other", files=other).sha256 != first


def test_failed_save_leaves_the_old_folder(tmp_path: Path) -> None:
    """A save that fails half-way changes nothing and leaves no debris."""
    before = save(tmp_path / "model").sha256

    def fail(target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save(tmp_path / "model", files={"trees.ubj": fail})
    assert load_model_folder(tmp_path / "model").sha256 == before
    assert [item.name for item in tmp_path.iterdir()] == ["model"]


def test_missing_folder(tmp_path: Path) -> None:
    """A path that does not exist is named, with the remedy."""
    with pytest.raises(ModelFolderError, match=r"nowhere does not exist: train a model first"):
        load_model_folder(tmp_path / "nowhere")


def test_folder_of_something_else(tmp_path: Path) -> None:
    """A folder without a manifest, a file, and a foreign config.json are told apart from models."""
    with pytest.raises(ModelFolderError, match="not a model folder"):
        load_model_folder(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelFolderError, match="not a model folder"):
        load_model_folder(tmp_path / "file")
    (tmp_path / MANIFEST).write_text('{"model_type": "bert"}')
    with pytest.raises(ModelFolderError, match="not a model folder"):
        load_model_folder(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 40, -3])
def test_truncated_manifest(tmp_path: Path, kept: int) -> None:
    """A manifest cut anywhere is reported as damaged."""
    save(tmp_path / "model")
    text = (tmp_path / "model" / MANIFEST).read_text()
    (tmp_path / "model" / MANIFEST).write_text(text[:kept])
    with pytest.raises(ModelFolderError, match="damaged or truncated"):
        load_model_folder(tmp_path / "model")


@pytest.mark.parametrize(
    "content", [pytest.param(WEIGHTS[:-1] + b"X", id="changed"), pytest.param(WEIGHTS[:5], id="cut")]
)
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A file whose bytes differ from the record is found at loading, before anything parses it."""
    save(tmp_path / "model")
    (tmp_path / "model" / "trees.ubj").write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"trees\.ubj is damaged"):
        load_model_folder(tmp_path / "model")


def test_file_damaged_after_loading(tmp_path: Path) -> None:
    """A file is checked again at the moment it is asked for."""
    folder = save(tmp_path / "model")
    (tmp_path / "model" / "trees.ubj").write_bytes(b"later")
    with pytest.raises(ModelFolderError, match="damaged"):
        folder.file("trees.ubj")
    with pytest.raises(ModelFolderError, match=r"no file other\.bin"):
        folder.file("other.bin")


def test_missing_file(tmp_path: Path) -> None:
    """A file that was not copied along is named."""
    save(tmp_path / "model")
    (tmp_path / "model" / "trees.ubj").unlink()
    with pytest.raises(ModelFolderError, match=r"trees\.ubj is missing"):
        load_model_folder(tmp_path / "model")


def test_other_kind(tmp_path: Path) -> None:
    """A folder of another agent says which was expected and which was found."""
    save(tmp_path / "model")
    with pytest.raises(ModelFolderError, match="expected tft, found xgboost"):
        load_model_folder(tmp_path / "model", kind="tft")


def test_newer_format(tmp_path: Path) -> None:
    """A newer format is told as such, even where it has fields that this software does not know."""
    save(tmp_path / "model")
    edit(tmp_path / "model", lambda plain: plain.update(format_version=FORMAT_VERSION + 1, novelty=1))
    with pytest.raises(ModelFolderError, match="newer than format"):
        load_model_folder(tmp_path / "model")


def test_other_feature_set(tmp_path: Path) -> None:
    """A model of another feature set is refused with both names."""
    save(tmp_path / "model")
    edit(tmp_path / "model", lambda plain: plain["provenance"].update(feature_set="older-14"))
    with pytest.raises(
        ModelFolderError, match=f"feature set older-14, this software computes {FEATURE_SET_VERSION}"
    ):
        load_model_folder(tmp_path / "model")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda plain: plain.update(surprise=1), id="unknown key"),
        pytest.param(lambda plain: plain.pop("scaler"), id="missing key"),
        pytest.param(lambda plain: plain["provenance"].update(seed="three"), id="wrong type"),
        pytest.param(lambda plain: plain["files"].update({"trees.ubj": "abc"}), id="wrong record"),
        pytest.param(lambda plain: plain.update(files=[]), id="wrong table"),
    ],
)
def test_edited_manifest(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The manifest is read strictly: unknown, missing and mistyped entries are errors that name the file."""
    save(tmp_path / "model")
    edit(tmp_path / "model", change)
    with pytest.raises(ModelFolderError, match=MANIFEST.replace(".", r"\.")):
        load_model_folder(tmp_path / "model")


def test_data_digest_ignores_order() -> None:
    """The hash of several markets' data stands for the set of them."""
    assert data_digest(["a", "b"]) == data_digest(["b", "a"]) != data_digest(["a", "c"])


def test_files_that_this_user_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names the file, for whatever the system says."""
    save(tmp_path / "model")

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("quantum_trader.agents.folder.file_sha256", refuse)
    with pytest.raises(
        ModelFolderError, match=r"model.* cannot be read \(Permission denied\): let this user"
    ):
        load_model_folder(tmp_path / "model")


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_a_models_files_are_ordinary_files(tmp_path: Path) -> None:
    """A service may run as another user than the training: every file has the mode that the umask leaves."""
    before = os.umask(0o022)
    try:
        with atomic_folder(tmp_path / "model") as folder:
            (folder / "part").touch(mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model" / "part").stat().st_mode) == 0o644
