"""`Job`: one agent on one fold with one seed, known by the hash of everything that decides its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantum_trader.agents.folder import software_version
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import json_sha256
from quantum_trader.evaluate.ledger import trial_hash
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.sweep.agents import SETTINGS, is_built_in

_FOLD_FIELDS = ("labels", "weights", "splits", "seed")
"""What decides the rows of a fold and the seed of its agents."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One agent to be fitted on one fold and asked about its test rows."""

    task: str
    """Name of the task."""
    agent: str
    """Name of a built-in agent, or where somebody's own is found."""
    fold: int
    """Number of the fold, from 0."""
    seed: int
    """Number of the seed, from 0."""
    run: RunConfig
    """The fold as a run: data, dates, settings, seed, folder."""
    key: str
    """Hash of everything that decides the result."""
    source: str = ""
    """Hash of the code of somebody's own agent; "" for ours."""
    needs: tuple[str, ...] = ()
    """Keys of the jobs whose models this one builds on."""
    folder: Path
    """Where the answers are kept: OUT/NAME/jobs/KEY."""
    limit_s: float
    """Seconds that somebody's own agent may take."""

    def __str__(self) -> str:
        return f"{self.task}, {self.agent}, fold {self.fold}, seed {self.seed}"


def job_key(run: RunConfig, agent: str, data: str, needs: tuple[str, ...], source: str) -> str:
    """The hash of a job: data, dates, labels, seed, the agent's own settings, what it builds on.

    Args:
        run: the fold.
        agent: as in `Job`.
        data: hash of the bars and of what trading them costs.
        needs: keys of what it builds on.
        source: hash of the code of somebody's own agent; "" for ours.
    """
    ingredients: dict[str, Any] = {name: to_plain(getattr(run, name)) for name in _FOLD_FIELDS}
    ingredients |= _settings(run, agent)
    ingredients |= {"agent": agent, "data": data, "needs": list(needs), "source": source}
    made_by = {"feature_set": FEATURE_SET_VERSION, "version": software_version()}
    return json_sha256(ingredients | made_by)


def trial_key(run: RunConfig, agent: str, source: str) -> str:
    """The hash of what counts as one configuration tried: everything but data, dates and seed."""
    ingredients = {name: to_plain(getattr(run, name)) for name in ("labels", "weights")}
    return trial_hash(ingredients | _settings(run, agent) | {"agent": agent, "source": source})


def _settings(run: RunConfig, agent: str) -> dict[str, Any]:
    """The settings that decide what an agent of ours learns; somebody's own brings its own."""
    names = SETTINGS[agent] if is_built_in(agent) else ()
    return {name: to_plain(getattr(run, name)) for name in names}
