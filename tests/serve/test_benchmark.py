"""`quantum-trader benchmark` from the command line: every kind of agent, once, on two folds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.evaluate.ledger import Ledger
from quantum_trader.serve.cli import main

MINE = '''
import numpy as np


class Mine:
    """States the training shares."""

    name = "mine"

    def fit(self, train, validation, seed):
        self.shares = np.bincount(train.action, minlength=3) / len(train)

    def signals(self, inputs):
        return np.tile(self.shares, (len(inputs), 1))
'''
OURS = ("arbiter", "tft", "bilstm", "ppo", "ensemble", "xgboost", "logistic")
TINY = (
    *("--preset", "tiny", "--tft.epochs", "1", "--bilstm.epochs", "1"),
    *("--tft.max-samples", "256", "--bilstm.max-samples", "256"),
    *("--rl.total-steps", "512", "--rl.num-envs", "8", "--rl.evaluations", "1"),
    *("--xgboost.rounds", "5", "--ensemble.xgboost.rounds", "5", "--ensemble.lightgbm.rounds", "5"),
    *("--ensemble.catboost.rounds", "5", "--logistic.max-rows", "300", "--logistic.max-iterations", "5"),
    *("--coin-flips", "3", "--bootstrap-draws", "50"),
)

pytestmark = pytest.mark.xdist_group("benchmark")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Everything tiny, nothing left out."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_bars(sample_bars()[:2_000], folder / "EURUSD.parquet")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    return [
        *("benchmark", "--out", str(folder / "runs"), "--name", "all"),
        *("--data", str(folder / "EURUSD.parquet"), "--folds", "2", "--backend", "serial"),
        *("--agents", *OURS, f"{folder / 'mine.py'}:Mine", *TINY),
    ]


@pytest.fixture(scope="module")
def finished(command: list[str]) -> Path:
    """Folder of the finished benchmark."""
    assert main(command) == 0
    return Path(command[2]) / "all"


@pytest.fixture(scope="module")
def task(finished: Path) -> dict[str, Any]:
    """What leaderboard.json says of the only task."""
    plain = json.loads((finished / "leaderboard.json").read_text(encoding="utf-8"))
    (found,) = plain["tasks"]
    return dict(found)


def test_every_kind_of_agent_is_ranked(task: dict[str, Any]) -> None:
    """Networks, policies, trees, the regression, the Arbiter and a user's file: all judged on both folds."""
    learners = {row["agent"]: row for row in task["agents"] if row["role"] == "learner"}
    assert set(learners) == {*OURS, "Mine"}
    for row in learners.values():
        assert row["failure"] == ""
        assert row["total_return"] is not None
        assert row["seconds_answer"] > 0
    assert task["folds"] == 2
    assert learners["ppo"]["kind"] == "position"
    assert learners["ppo"]["log_loss"] is None
    skills = [
        row["log_loss_skill"]["estimate"]
        for row in task["agents"]
        if row["role"] == "learner" and row["log_loss_skill"]
    ]
    assert skills == sorted(skills, reverse=True)
    assert learners["Mine"]["log_loss_skill"]["estimate"] == pytest.approx(0.0, abs=1e-6)


def test_all_mechanical_checks_pass(task: dict[str, Any]) -> None:
    """The ledger holds a line for each of the 16 jobs; no check that could be asked failed."""
    checks = {check["name"]: check for check in task["checks"]}
    assert checks["ledger_complete"]["passed"] is True
    assert "16 artefacts" in checks["ledger_complete"]["detail"]
    assert [name for name, check in checks.items() if check["passed"] is False] == []


def test_everything_promised_is_written(finished: Path) -> None:
    """Leaderboard in three forms, a report, a fold's models, answers of all jobs; no pickle, no leftovers."""
    for name in ("leaderboard.html", "leaderboard.csv", "leaderboard.json", "config.json"):
        assert (finished / name).stat().st_size > 0
    assert (finished / "tasks" / "data" / "report.html").stat().st_size > 0
    assert len(list(finished.glob("jobs/*/outcome.json"))) == 16
    models = finished / "folds" / "data" / "fold-1-seed-0" / "models"
    assert {path.name for path in models.iterdir()} == set(OURS)
    names = [path.name for path in finished.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".pkl", ".part", ".pickle", ".old"))]
    page = (finished / "leaderboard.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r'(src|href)="http', page)


def test_the_same_command_goes_on(
    finished: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A second start computes nothing, adds nothing to the ledger and writes the same figures."""
    before = (finished / "tasks" / "data" / "metrics.json").read_text(encoding="utf-8")
    lines = Ledger(finished.parent).read()
    assert main([*command, "--no-checks"]) == 0
    said = capsys.readouterr().out
    assert "jobs: 16, 16 of them kept from before" in said
    assert f"leaderboard: {finished / 'leaderboard.html'}" in said
    assert (finished / "tasks" / "data" / "metrics.json").read_text(encoding="utf-8") == before
    assert len(lines) == 16
    assert Ledger(finished.parent).read() == lines


def test_a_fold_can_be_explained_and_evaluated(finished: Path, tmp_path: Path) -> None:
    """A fold's folder is a run: `evaluate` reads all of ours from it."""
    fold = finished / "folds" / "data" / "fold-0-seed-0"
    assert main(["evaluate", str(fold), "--output", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text(encoding="utf-8"))
    metrics = json.loads((finished / "tasks" / "data" / "metrics.json").read_text(encoding="utf-8"))
    found = {agent["name"]: agent for agent in again["agents"]}
    assert set(OURS) < set(found)
    for agent in metrics["agents"]:
        if agent["name"] in found:
            own = found[agent["name"]]["folds"][0]
            assert agent["folds"][0]["trades"] == own["trades"]
            assert agent["folds"][0]["total_return"] == pytest.approx(own["total_return"])


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--agents", "xgbost"], "'xgbost' is no agent"),
        (["--suite", "none"], "Nothing to run on"),
        (["--seeds", "0"], "seeds: expected at least 1"),
        (["--limit-s", "0"], "limit_s: expected seconds above 0"),
        (["--data", "nowhere.parquet"], "nowhere.parquet"),
        (["--data", "sample", "--agents", "logistic", "--folds", "4000"], "too few for 4000 folds"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], fragment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is named before anything is computed; code 2, no traceback."""
    code = 0
    try:
        code = main(["benchmark", "--out", str(tmp_path), *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    error = capsys.readouterr().err
    assert fragment in error
    assert "Traceback" not in error
    assert not (tmp_path / "benchmark" / "jobs").exists()
