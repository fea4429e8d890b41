"""A job's folder: written whole, read back, and never believed when it is damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.evaluate.records import Trial
from quantum_trader.evaluate.sweep.answers import (
    ARRAYS,
    OUTCOME,
    RETURNS,
    Answers,
    JobOutcome,
    read_answers,
    read_finished,
    read_outcome,
    write_outcome,
)

TRIAL = Trial(
    time="2026-01-01T00:00:00+00:00",
    trial="t",
    key="k",
    agent="logistic",
    seed=0,
    data="d",
    split="test",
    start_ms=0,
    end_ms=1,
    bars=1,
    mean_log_return=math.nan,
    sharpe=math.nan,
    log_loss=None,
    returns="",
    version="1",
)
DONE = JobOutcome(
    key="k", task="t", agent="logistic", fold=1, seed=2, status="done", seconds_answer=0.5, trial=TRIAL
)
SIGNALS = Answers(
    kind="signal",
    probabilities=np.arange(12, dtype=np.float32).reshape(4, 3),
    actions=np.array([0, 1, 2, 0], dtype=np.int8),
    quantiles=np.arange(4 * 2 * 3, dtype=np.float32).reshape(4, 2, 3),
)


def written(folder: Path) -> Path:
    returns = np.arange(3, dtype=np.int64), np.zeros(3)
    write_outcome(folder, DONE, SIGNALS, returns)
    return folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Outcome and arrays come back as they were, figures that are no number among them."""
    folder = written(tmp_path / "k")
    found = read_outcome(folder)
    assert found is not None
    assert repr(found) == repr(DONE)
    again = read_answers(folder, "signal")
    for name in ("probabilities", "actions", "quantiles"):
        np.testing.assert_array_equal(getattr(again, name), getattr(SIGNALS, name))
        assert getattr(again, name).dtype == getattr(SIGNALS, name).dtype
    assert again.decisions is None
    assert sorted(path.name for path in folder.iterdir()) == sorted([ARRAYS, OUTCOME, RETURNS])
    assert "NaN" not in (folder / OUTCOME).read_text(encoding="utf-8")


def test_decisions_keep_their_order(tmp_path: Path) -> None:
    """More than ten grounds come back in the order they were written, not in that of their names."""
    decisions = tuple(np.full(number + 1, number % 3, dtype=np.int8) for number in range(12))
    write_outcome(tmp_path / "k", DONE, Answers(kind="position", decisions=decisions))
    found = read_answers(tmp_path / "k", "position").decisions
    assert found is not None
    assert [len(part) for part in found] == list(range(1, 13))


def test_answers_become_an_entrant() -> None:
    """Under the name it is judged by, with all its arrays."""
    entrant = SIGNALS.entrant("mine")
    assert (entrant.name, entrant.kind, entrant.role) == ("mine", "signal", "learner")
    assert entrant.row_actions is SIGNALS.actions
    assert entrant.probabilities is SIGNALS.probabilities


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 4
    content[middle : middle + 40] = bytes(255 - byte for byte in content[middle : middle + 40])
    path.write_bytes(bytes(content))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_bytes(b"[1, 2]")


def missing(path: Path) -> None:
    path.unlink()


DAMAGES = (truncated, flipped, emptied, foreign, missing)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_answers_are_one_sentence(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """However the file was damaged: named, with a remedy; and the job counts as to be done again."""
    folder = written(tmp_path / "k")
    assert read_finished(folder) is not None
    damage(folder / ARRAYS)
    with pytest.raises(ModelFolderError, match=r"cannot be read .* start the benchmark again") as found:
        read_answers(folder, "signal")
    assert "\n" not in str(found.value)
    assert read_finished(folder) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_outcome_is_none(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """The job counts as not done."""
    folder = written(tmp_path / "k")
    damage(folder / OUTCOME)
    assert read_outcome(folder) is None
    assert read_finished(folder) is None


@pytest.mark.parametrize(
    "change", [{"status": "perhaps"}, {"unknown": 1}, {"trial": {"key": "k"}}, {"fold": "one"}, {"trial": 3}]
)
def test_an_outcome_of_another_form_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    """Fields that are missing, foreign or of another type: the job counts as not done."""
    folder = written(tmp_path / "k")
    plain = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    (folder / OUTCOME).write_text(json.dumps(plain | change), encoding="utf-8")
    assert read_outcome(folder) is None


def test_what_failed_is_to_be_done_again(tmp_path: Path) -> None:
    """A failure is read with its reason, and is not finished; what is written next takes its place."""
    failed = JobOutcome(key="k", task="t", agent="a", fold=0, seed=0, status="failed", reason="because")
    write_outcome(tmp_path / "k", failed)
    assert read_outcome(tmp_path / "k") == failed
    assert read_finished(tmp_path / "k") is None
    written(tmp_path / "k")
    assert read_finished(tmp_path / "k") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["k"]
