"""The command line: every fault is one sentence and a non-zero exit code, and leaves nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.load import read_bars, write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.serve.cli import COMMANDS, main


def table(rows: int = 800) -> pd.DataFrame:
    """A sound hourly series as a user's file has it."""
    frame = random_walk_bars(rows, seed=1).to_frame()
    return frame[["timestamp", "open", "high", "low", "close", "volume"]]


def broken(fault: str) -> pd.DataFrame:
    """The same series with one fault."""
    frame = table()
    if fault == "missing column":
        return frame.drop(columns="volume")
    if fault == "unsorted":
        return frame.iloc[::-1]
    if fault == "duplicate":
        return pd.concat([frame.iloc[:5], frame.iloc[4:]])
    if fault == "NaN":
        frame.loc[7, "close"] = np.nan
    if fault == "negative price":
        frame.loc[7, ["open", "high", "low", "close"]] *= -1
    if fault == "too few bars":
        return frame.iloc[:100]
    return frame


def complaint(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """Run a command that must fail; its one sentence on standard error."""
    assert main(words) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("quantum-trader: ")
    assert "\n" not in error
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize(
    ("fault", "fragment"),
    [
        ("missing column", "volume"),
        ("unsorted", "row 1"),
        ("duplicate", "row 5"),
        ("NaN", "row 7"),
        ("negative price", "row 7"),
        ("too few bars", "no usable window"),
    ],
)
def test_a_faulty_file_is_one_sentence(
    fault: str, fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train` names the file or symbol, the fault and the remedy, and writes nothing."""
    path = tmp_path / "BTCUSDT.csv"
    broken(fault).to_csv(path, index=False)
    error = complaint(capsys, "train", "xgboost", "--data", str(path), "--out", str(tmp_path / "runs"))
    assert "BTCUSDT" in error
    assert fragment in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["data", "inspect", "nowhere.parquet"], "nowhere.parquet"),
        (["data", "inspect", "sample", "--symbols", "XAUUSD"], "XAUUSD"),
        (["run", "--contract", "nonsense"], "nonsense"),
        (["run", "--train-end", "2017-06-01"], "validation_end"),
        (["evaluate", "nowhere"], "not a run"),
        (["trian", "tft"], "unknown command"),
        (["train", "lstm"], "train tft"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    words: list[str],
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Unknown sources, symbols, contracts, names and commands are named, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert fragment in complaint(capsys, *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["run", "--name", "a/b"], "folder name"),
        (["run", "--agents", "ppo"], "tft"),
        (["run", "--tft.epohcs", "3"], "--tft.epohcs"),
        (["run", "--tft.epochs", "many"], "many"),
        (["train", "xgboost", "--labels.horizon-bars", "0"], "horizon_bars"),
    ],
)
def test_a_bad_value_is_named_beside_its_option(
    words: list[str],
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An option that is unknown or out of range ends with code 2 and no traceback, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert fragment in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_config_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A typo in --config is an error that lists the known keys; so is a file that is no JSON."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"name": "x", "tft": {"epohcs": 3}}), encoding="utf-8")
    error = complaint(capsys, "run", "--config", str(path))
    assert "'epohcs'" in error
    assert "epochs" in error
    path.write_text("{", encoding="utf-8")
    assert "not JSON" in complaint(capsys, "run", "--config", str(path))


def test_convert_keeps_every_value(tmp_path: Path) -> None:
    """CSV to parquet and back gives equal bars."""
    bars = sample_bars()
    write_bars(bars, tmp_path / "EURUSD.csv")
    assert main(["data", "convert", str(tmp_path / "EURUSD.csv"), str(tmp_path / "EURUSD.parquet")]) == 0
    assert read_bars(tmp_path / "EURUSD.parquet").digest == bars.digest


def test_inspect_tells_range_gaps_and_costs(capsys: pytest.CaptureFixture[str]) -> None:
    """The description of the sample has its bars, its range and its weekends."""
    assert main(["data", "inspect"]) == 0
    text = capsys.readouterr().out
    for fragment in ("EURUSD", "6,225", "2017-01-01 22:00", "pauses of the session", "fx-eurusd"):
        assert fragment in text


@pytest.mark.parametrize("kind", ["regimes", "random-walk", "planted"])
def test_synthetic_files_are_reproducible_and_sound(kind: str, tmp_path: Path) -> None:
    """The same seed writes the same bars, and `validate` accepts them."""
    for name in ("a", "b"):
        path = tmp_path / name / "S.parquet"
        assert main(["data", "synthetic", str(path), "--kind", kind, "--bars", "500", "--seed", "3"]) == 0
        assert main(["data", "validate", str(path)]) == 0
    a, b = (read_bars(tmp_path / name / "S.parquet") for name in "ab")
    assert a.digest == b.digest


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """--help of every command exits with 0 and describes its options."""
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([*name, "--help"])
        assert stop.value.code == 0
        assert "--help" in capsys.readouterr().out
