"""`quantum-trader train bilstm`: from bars to a model folder, beside whatever else the run has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantum_trader.agents import BiLSTMAgent
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs import sample_bars
from quantum_trader.envs.load import write_bars
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.serve.cli import main

QUICK = (
    *("--preset", "tiny", "--bilstm.epochs", "2", "--bilstm.max-samples", "256"),
    *("--coin-flips", "5", "--bootstrap-draws", "50"),
)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Options of a small run on a file of bars."""
    write_bars(random_walk_bars(900, seed=1), tmp_path / "BTCUSDT.parquet")
    return ["--data", str(tmp_path / "BTCUSDT.parquet"), "--name", "one", "--out", str(tmp_path), *QUICK]


def test_train_writes_a_model_that_predicts(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command leaves a calibrated model folder and a log; the same command again keeps it."""
    assert main(["train", "bilstm", *words]) == 0
    said = capsys.readouterr().out
    assert "bilstm epoch 2: validation loss" in said
    folder = tmp_path / "one" / "models" / "bilstm"
    assert f"model: {folder}" in said
    assert [path.name for path in folder.parent.iterdir()] == ["bilstm"]
    assert not list((tmp_path / "one" / "checkpoints").iterdir())
    assert list((tmp_path / "one" / "tensorboard" / "bilstm").glob("events.*"))
    agent = BiLSTMAgent.load(folder)
    assert agent.calibration is not None
    agent.add_to_history("EURUSD", sample_bars()[:60])
    assert agent.predict("EURUSD", sample_bars().bar(60)).meta.quantiles is not None

    assert main(["train", "bilstm", *words]) == 0
    assert "bilstm: kept from before" in capsys.readouterr().out


def test_options_of_the_bilstm_are_its_own(words: list[str], tmp_path: Path) -> None:
    """`--bilstm.*` reaches the BiLSTM and not the TFT, and the run's seed reaches it."""
    assert main(["train", "bilstm", *words, "--seed", "3"]) == 0
    config = json.loads((tmp_path / "one" / "config.json").read_text(encoding="utf-8"))
    assert (config["bilstm"]["epochs"], config["tft"]["epochs"]) == (2, 20)
    assert BiLSTMAgent.load(tmp_path / "one" / "models" / "bilstm").provenance.seed == 3


def test_a_run_judges_both_networks(words: list[str], tmp_path: Path) -> None:
    """`--agents tft bilstm` fits and judges both; `evaluate` loads them again and finds the same figures."""
    quick_tft = ["--tft.epochs", "1", "--tft.max-samples", "256"]
    assert main(["run", *words, *quick_tft, "--agents", "tft", "bilstm"]) == 0
    run = tmp_path / "one"
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["agents"]
    assert {"tft", "bilstm"} <= {agent["name"] for agent in found}
    assert TFTAgent.load(run / "models" / "tft").model_hash
    assert main(["evaluate", str(run), "--output", str(tmp_path / "again")]) == 0
    again = (tmp_path / "again" / "metrics.json").read_text(encoding="utf-8")
    assert again == (run / "metrics.json").read_text(encoding="utf-8")


def test_several_seeds_are_told_apart_and_summed_up(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--seeds 2` leaves two models of different weights and says the median and range of their figures."""
    assert main(["train", "bilstm", *words, "--seed", "4", "--seeds", "2"]) == 0
    models = [BiLSTMAgent.load(tmp_path / f"one-seed{seed}" / "models" / "bilstm") for seed in (4, 5)]
    losses = sorted(model.provenance.metrics["validation_log_loss"] for model in models)
    assert losses[0] != losses[1]
    lines = capsys.readouterr().out.splitlines()
    figures = next(line for line in lines if line.startswith("log-loss")).split()[1:]
    assert figures == [f"{value:.4f}" for value in (sum(losses) / 2, losses[0], losses[1])]
    assert main(["train", "bilstm", *words, "--seeds", "0"]) == 2
