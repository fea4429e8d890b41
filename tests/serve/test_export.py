"""`quantum-trader export`: which model it takes, what it says, and that every fault is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.agents.tft.onnx_export import PACKAGES
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.serve.cli import main
from quantum_trader.serve.commands.export import load_network

from ..agents.tiny_tft import tiny_tft


@pytest.mark.parametrize("place", ["run", "models", "model"])
def test_the_model_is_found_from_the_run_down(place: str, tmp_path: Path) -> None:
    """A run's folder, its folder of models and the model's own folder all lead to the TFT."""
    run = tmp_path / "run"
    agent = tiny_tft()
    agent.save(run / "models" / "tft")
    (run / "config.json").write_text("{}", encoding="utf-8")
    folders = {"run": run, "models": run / "models", "model": run / "models" / "tft"}
    assert load_network(folders[place]).model_hash == agent.model_hash


def test_a_run_without_a_tft_says_so(tmp_path: Path) -> None:
    """The message names the folder that is missing, not the run's own."""
    (tmp_path / "run" / "models" / "xgboost").mkdir(parents=True)
    with pytest.raises(ModelFolderError, match=r"run/models/tft does not exist"):
        load_network(tmp_path / "run")


@pytest.mark.slow
def test_export_writes_the_file_and_says_how_it_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file lies where --out says; differences on random and real windows and both latencies are told."""
    for package in PACKAGES:
        pytest.importorskip(package)
    agent = tiny_tft()
    agent.save(tmp_path / "tft")
    assert main(["export", str(tmp_path / "tft"), "--out", str(tmp_path / "out" / "tft.onnx")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert (tmp_path / "out" / "tft.onnx").stat().st_size > 10_000
    for fragment in (agent.model_hash[:16], "random windows: prob", "EURUSD windows: prob", "100 windows: "):
        assert fragment in said.out


def test_export_without_its_packages_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, the remedy, and no file."""
    monkeypatch.setattr("quantum_trader.agents.tft.onnx_export.PACKAGES", ("surely_no_such_package",))
    tiny_tft().save(tmp_path / "tft")
    assert main(["export", str(tmp_path / "tft"), "--out", str(tmp_path / "tft.onnx")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.endswith("pip install surely_no_such_package.")
    assert "\n" not in error
    assert not (tmp_path / "tft.onnx").exists()
