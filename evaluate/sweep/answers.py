"""What a job leaves: an agent's answers on one fold's test rows, in a folder of its own."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.config import from_plain
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.files import atomic_folder
from quantum_trader.evaluate.backtest import Actions
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.ledger import with_nan
from quantum_trader.evaluate.records import Kind, Trial, to_json
from quantum_trader.evaluate.sweep.job import Job

ARRAYS, OUTCOME, RETURNS = "answers.npz", "outcome.json", "returns.npz"
_PER_ROW = ("probabilities", "actions", "quantiles")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """An agent's answers on one fold.

    Attributes:
        kind: how it is traded.
        probabilities: float32 [N, 3], or None.
        actions: int8 [N] after any gate, or None.
        quantiles: float32 [N, H, 3], or None.
        decisions: int8 [bars of the ground] for each of the fold's grounds, or None.
    """

    kind: Kind
    probabilities: NDArray[np.float32] | None = None
    actions: Actions | None = None
    quantiles: NDArray[np.float32] | None = None
    decisions: tuple[Actions, ...] | None = None

    def entrant(self, name: str) -> Entrant:
        """Ready to be judged on this fold alone."""
        return Entrant(
            name=name,
            kind=self.kind,
            probabilities=self.probabilities,
            actions=self.actions,
            quantiles=self.quantiles,
            decisions=self.decisions,
        )


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """How a job went."""

    key: str
    """The job's."""
    task: str
    """Name of the task."""
    agent: str
    """Name of the agent."""
    fold: int
    """Number of the fold."""
    seed: int
    """Number of the seed."""
    status: Literal["done", "failed"]
    """Whether there are answers."""
    reason: str = ""
    """Why not, one sentence."""
    kind: Kind = "signal"
    """How the agent is traded."""
    seconds_fit: float | None = None
    """Seconds of fitting; None where the agent was not fitted here."""
    seconds_answer: float | None = None
    """Seconds of answering all test rows."""
    peak_bytes: float | None = None
    """Most memory of the process while it fitted and answered; None where unknown."""
    trial: Trial | None = None
    """The ledger's line."""


def failed(job: Job, reason: str, peak_bytes: float | None = None) -> JobOutcome:
    """A job without answers, and why."""
    return JobOutcome(
        key=job.key,
        task=job.task,
        agent=job.agent,
        fold=job.fold,
        seed=job.seed,
        status="failed",
        reason=reason,
        peak_bytes=peak_bytes,
    )


def write_outcome(
    folder: Path,
    outcome: JobOutcome,
    answers: Answers | None = None,
    returns: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
) -> None:
    """Write a job's folder, whole or not at all.

    Args:
        folder: of the job's key.
        outcome: how it went.
        answers: None where it failed.
        returns: int64 [n] bar opens and float64 [n] log returns, or None.
    """
    with atomic_folder(folder) as temporary:
        if answers is not None:
            arrays: dict[str, Any] = {
                name: getattr(answers, name) for name in _PER_ROW if getattr(answers, name) is not None
            }
            for number, decided in enumerate(answers.decisions or ()):
                arrays[f"decisions_{number}"] = decided
            np.savez_compressed(temporary / ARRAYS, **arrays)
        if returns is not None:
            np.savez_compressed(temporary / RETURNS, timestamps=returns[0], log_returns=returns[1])
        text = json.dumps(to_json(outcome), indent=2, sort_keys=True, allow_nan=False)
        (temporary / OUTCOME).write_text(text + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> JobOutcome | None:
    """How a job went; None where its folder is missing or cannot be read."""
    path = folder / OUTCOME
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["trial"] is not None:
            plain["trial"] = with_nan(plain["trial"])
        return from_plain(JobOutcome, plain, where=str(path))
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return None


def read_finished(folder: Path) -> JobOutcome | None:
    """How a job went; None where it is to be done (again), because it failed or its answers are damaged."""
    found = read_outcome(folder)
    if found is None or found.status == "failed":
        return None
    try:
        read_answers(folder, found.kind)
    except ModelFolderError:
        return None
    return found


def read_answers(folder: Path, kind: Kind) -> Answers:
    """A finished job's answers.

    Raises:
        ModelFolderError: they cannot be read.
    """
    try:
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            decisions = tuple(
                arrays[f"decisions_{number}"]
                for number in range(sum(name.startswith("decisions_") for name in arrays.files))
            )
            per_row = {name: arrays[name] for name in _PER_ROW if name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise ModelFolderError(
            f"{folder / ARRAYS} cannot be read ({error}): remove its folder and start the benchmark again."
        ) from error
    return Answers(kind=kind, decisions=decisions or None, **per_row)
