"""The ledger: one line for every configuration ever trained, so that a good result can be weighed by them."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.folder import software_version
from quantum_trader.envs.config import from_plain
from quantum_trader.envs.files import json_sha256
from quantum_trader.evaluate import trading_metrics as metrics
from quantum_trader.evaluate.records import Split, Trial, to_json

try:
    import fcntl
except ImportError:  # Windows has none: there one process at a time may write
    fcntl = None  # type: ignore[assignment]

LEDGER = "ledger.jsonl"

_LOG = logging.getLogger(__name__)

_NOT_NUMBERS_IN_JSON = ("mean_log_return", "sharpe")

_PLACES = ("name", "out", "splits", "agents", "policy_seeds", "coin_flips", "bootstrap_draws", "checks")
"""Options of a run that decide what it is called, when it was, and how it is looked at."""

_RUNNING = ("seed", "num_threads", "n_jobs", "device", "distributed", "checkpoint_every")
"""Options on any level that decide how a fit is carried out."""

_GIT_SECONDS = 5.0


class Ledger:
    """The file `ledger.jsonl` of a folder; any number of processes may append to it.

    Args:
        folder: made when the first trial is written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER

    def append(self, trial: Trial) -> bool:
        """Write a trial, unless one of the same key and split stands there already.

        The line goes to the disk in one write at the file's end, under a lock that other writers wait for.

        Returns:
            Whether it was written.
        """
        with locked_file(self.path) as handle:
            before = self.path.read_bytes()
            alike = b"\n".join(line for line in before.splitlines() if trial.key.encode() in line)
            if any((old.key, old.split) == (trial.key, trial.split) for old in self._trials(alike)):
                return False
            line = json.dumps(to_json(trial), sort_keys=True, allow_nan=False).encode() + b"\n"
            # A line that a crash cut short must not swallow this one.
            os.write(handle, line if before[-1:] in (b"", b"\n") else b"\n" + line)
            os.fsync(handle)
        return True

    def read(self) -> tuple[Trial, ...]:
        """Every trial, in the order they were written; none where there is no file.

        A line that is no JSON object, such as a crash leaves, is left out with a warning.

        Raises:
            ConfigError: a line has an unknown key, lacks one, or holds a value of the wrong type.
        """
        try:
            return tuple(self._trials(self.path.read_bytes()))
        except FileNotFoundError:
            return ()

    def trials(self, data: str) -> tuple[Trial, ...]:
        """The trials on the bars with the hash `data`."""
        return tuple(trial for trial in self.read() if trial.data == data)

    def _trials(self, content: bytes) -> Iterator[Trial]:
        for number, line in enumerate(content.splitlines(), 1):
            if not line.strip():
                continue
            where = f"{self.path}: line {number}"
            try:
                plain = json.loads(line)
            except ValueError:  # of the JSON or of its encoding
                plain = None
            if not isinstance(plain, dict):
                _LOG.warning("%s is cut or foreign and is left out.", where)
                continue
            yield from_plain(Trial, with_nan(plain), where=where)


def with_nan(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A line's JSON values, with NaN for the numbers that `to_json` wrote as null because they were."""
    missing = [name for name in _NOT_NUMBERS_IN_JSON if name in plain and plain[name] is None]
    return {**plain, **dict.fromkeys(missing, math.nan)}


class BarFigures(NamedTuple):
    """What the ledger keeps of an equity curve."""

    bars: int
    """Returns in it."""
    mean_log_return: float
    """Mean log return of a bar; NaN without one."""
    sharpe: float
    """`mean_log_return` over the standard deviation of the log returns (n - 1); NaN where they never vary."""


def bar_figures(equity: NDArray[np.float64]) -> BarFigures:
    """Figures of `Trial` from an equity curve, float64 [n], so that `sharpe_ratios` can join them exactly."""
    returns = metrics.log_returns(equity)
    mean = float(returns.mean()) if len(returns) else math.nan
    return BarFigures(bars=len(returns), mean_log_return=mean, sharpe=metrics.sharpe(returns))


def new_trial(
    figures: BarFigures,
    *,
    trial: str,
    key: str,
    agent: str,
    seed: int,
    data: str,
    split: Split,
    start_ms: int,
    end_ms: int,
    log_loss: float | None,
    returns: str = "",
) -> Trial:
    """A line as of now and of this version; arguments as the fields of `Trial`."""
    return Trial(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        trial=trial,
        key=key,
        agent=agent,
        seed=seed,
        data=data,
        split=split,
        start_ms=start_ms,
        end_ms=end_ms,
        bars=figures.bars,
        mean_log_return=figures.mean_log_return,
        sharpe=figures.sharpe,
        log_loss=log_loss,
        returns=returns,
        version=code_version(),
    )


def sharpe_ratios(trials: Iterable[Trial]) -> tuple[float, ...]:
    """The Sharpe ratio of a bar of every trial.

    What the deflated Sharpe ratio asks for (Bailey & Lopez de Prado 2014). A trial is a configuration of an
    agent with a seed: whoever reports the best of five seeds has chosen among five results, just as with five
    configurations. Folds of one trial and seed are joined first, exactly, as if their bars were one sample. A
    stretch that was written twice counts once, the later line. A trial whose equity never moved, or that
    failed, has a Sharpe ratio of 0: it was tried.
    """
    stretches: dict[tuple[str, str, int], dict[tuple[str, int, int], Trial]] = {}
    for trial in trials:
        mine = stretches.setdefault((trial.trial, trial.agent, trial.seed), {})
        mine[trial.split, trial.start_ms, trial.end_ms] = trial
    return tuple(_joined_sharpe(mine.values()) for mine in stretches.values())


def _joined_sharpe(folds: Iterable[Trial]) -> float:
    """Sharpe ratio of all bars together, from sums: of returns n m, of squares (n - 1) s^2 + n m^2."""
    bars, total, squares = 0, 0.0, 0.0
    for fold in folds:
        if fold.bars < 1 or not math.isfinite(fold.mean_log_return):
            continue
        moved = math.isfinite(fold.sharpe) and fold.sharpe != 0.0
        variance = (fold.mean_log_return / fold.sharpe) ** 2 if moved else 0.0
        bars += fold.bars
        total += fold.bars * fold.mean_log_return
        squares += (fold.bars - 1) * variance + fold.bars * fold.mean_log_return**2
    if bars < 2:
        return 0.0
    mean = total / bars
    variance = (squares - bars * mean**2) / (bars - 1)
    # What rounding leaves of a variance of nothing.
    return mean / math.sqrt(variance) if variance > 1e-12 * mean**2 else 0.0


def trial_hash(config: Mapping[str, Any]) -> str:
    """Hash of a plain configuration, without what does not count as one.

    Left out are names and folders, the splits, the list of agents (a trial names its own), how many coin
    flips and bootstrap draws judge it, and on every level seeds, threads and devices.

    Args:
        config: plain JSON values, such as `to_plain` makes of a `RunConfig`.
    """
    return json_sha256(_deciding({key: value for key, value in config.items() if key not in _PLACES}))


def _deciding(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _deciding(item) for key, item in value.items() if key not in _RUNNING}
    if isinstance(value, list):
        return [_deciding(item) for item in value]
    return value


@cache
def code_version() -> str:
    """Version of this software, e.g. "0.1.0+g1a2b3c4d5e6f" where it runs from a git checkout."""
    root = Path(__file__).resolve().parents[1]
    commit = _commit(root) if (root / ".git").exists() else ""
    return software_version() + (f"+g{commit}" if commit else "")


def _commit(root: Path) -> str:
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return found.stdout.strip()


@contextmanager
def locked_file(path: Path) -> Iterator[int]:
    """A file opened for appending, which other processes that ask for it wait for; made if it is not there.

    The lock is gone with the process that held it, however that ended.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
