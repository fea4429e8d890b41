"""The ledger: every trial once, whole lines under many writers, and sums that join folds exactly."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate import ledger as module
from quantum_trader.evaluate.ledger import (
    Ledger,
    bar_figures,
    code_version,
    locked_file,
    sharpe_ratios,
    trial_hash,
)
from quantum_trader.evaluate.records import Trial
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.train.data_config import LabelConfig, SplitConfig
from quantum_trader.train.network_config import NetworkTrainConfig


def _spread(lines: Iterable[Trial]) -> tuple[int, float]:
    """Number of trials and variance of their Sharpe ratios."""
    found = sharpe_ratios(lines)
    return len(found), float(np.var(found, ddof=1)) if len(found) > 1 else 0.0


def trial(key: str = "k", **changes: Any) -> Trial:
    """A line of the ledger."""
    plain = Trial(
        time="2026-01-01T00:00:00+00:00",
        trial="t",
        key=key,
        agent="tft",
        seed=0,
        data="d",
        split="test",
        start_ms=0,
        end_ms=1,
        bars=10,
        mean_log_return=1e-4,
        sharpe=0.1,
        log_loss=1.0,
        returns="",
        version="0",
    )
    return replace(plain, **changes)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Every field survives, NaN and None among them; no file is an empty ledger."""
    ledger = Ledger(tmp_path / "new")
    assert ledger.read() == ()
    odd = trial("odd", sharpe=math.nan, mean_log_return=math.nan, log_loss=None, data="other")
    assert ledger.append(trial("a"))
    assert ledger.append(odd)
    first, second = ledger.read()
    assert first == trial("a")
    assert math.isnan(second.sharpe)
    assert math.isnan(second.mean_log_return)
    assert replace(second, sharpe=0.0, mean_log_return=0.0) == replace(odd, sharpe=0.0, mean_log_return=0.0)
    assert ledger.trials("d") == (first,)
    assert "NaN" not in ledger.path.read_text()


def test_the_same_trial_is_written_once(tmp_path: Path) -> None:
    """A key that stands there for this split is not repeated; for the other split it is another line."""
    ledger = Ledger(tmp_path)
    assert ledger.append(trial("a"))
    assert not ledger.append(trial("a", time="later"))
    assert ledger.append(trial("a", split="validation"))
    assert [each.split for each in ledger.read()] == ["test", "validation"]


def test_a_cut_line_costs_itself_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a crash left of a line, or a foreign one, is warned of; the next line starts on its own."""
    ledger = Ledger(tmp_path)
    ledger.append(trial("a"))
    ledger.append(trial("cut"))
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content[:-40])
    with caplog.at_level(logging.WARNING):
        assert [each.key for each in ledger.read()] == ["a"]
    assert "line 2 is cut or foreign" in caplog.text
    ledger.append(trial("b"))
    with ledger.path.open("ab") as file:
        file.write(b"\xff\xfe not a trial\n[1]\n\n")
    ledger.append(trial("c"))
    assert [each.key for each in ledger.read()] == ["a", "b", "c"]


@pytest.mark.parametrize("fault", ["unknown key", "missing key", "wrong type"])
def test_a_line_of_another_kind_is_refused(fault: str, tmp_path: Path) -> None:
    """An unknown key, a missing one or a wrong type is an error that names the line, not a trial less."""
    plain = to_plain(trial("a"))
    if fault == "unknown key":
        plain["sharp"] = 1.0
    elif fault == "missing key":
        del plain["seed"]
    else:
        plain["bars"] = "many"
    ledger = Ledger(tmp_path)
    ledger.path.write_text(json.dumps(plain) + "\n")
    with pytest.raises(ConfigError, match="line 1"):
        ledger.read()


def write_many(folder: Path, writer: int) -> None:
    """Keys of this writer, and keys that all writers share."""
    ledger = Ledger(folder)
    for number in range(20):
        ledger.append(trial(f"{writer}-{number}", returns="x" * 5_000))
        ledger.append(trial(f"shared-{number}"))


def test_many_processes_write_whole_lines(tmp_path: Path) -> None:
    """Lines of several processes stay whole, and what they share stands there once."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=300)
    assert [writer.exitcode for writer in writers] == [0] * 3
    keys = [each.key for each in Ledger(tmp_path).read()]
    own = [f"{writer}-{number}" for writer in range(3) for number in range(20)]
    assert sorted(keys) == sorted(own + [f"shared-{number}" for number in range(20)])


def test_a_locked_file_is_given_back(tmp_path: Path) -> None:
    """After an error inside, the lock is free again."""
    path = tmp_path / "deep" / "lock"
    with pytest.raises(ZeroDivisionError), locked_file(path):
        raise ZeroDivisionError
    with locked_file(path):
        assert path.exists()


def test_figures_of_an_equity_curve() -> None:
    """Mean and Sharpe ratio are those of the log returns; a flat curve has no Sharpe ratio."""
    found = bar_figures(np.array([1.0, np.e, np.e, np.e**3]))
    assert found.bars == 3
    assert found.mean_log_return == pytest.approx(1.0)
    assert found.sharpe == pytest.approx(1.0)  # deviations 0, -1, 1: variance 2 / 2
    flat = bar_figures(np.ones(4))
    assert flat.mean_log_return == 0.0
    assert math.isnan(flat.sharpe)
    assert bar_figures(np.ones(1)).bars == 0


def folds_of(returns: list[np.ndarray], **names: Any) -> list[Trial]:
    """The lines of one trial's folds."""
    lines = []
    for fold, part in enumerate(returns):
        figures = bar_figures(np.exp(np.cumsum([0.0, *part])))
        lines.append(
            trial(f"{names}{fold}", start_ms=fold, end_ms=fold + 1, **figures._asdict(), **names)  # type: ignore[arg-type]
        )
    return lines


def test_folds_join_to_the_ratio_of_all_bars() -> None:
    """Folds of unequal length come to the Sharpe ratio of their returns end to end."""
    rng = np.random.default_rng(0)
    first = [rng.normal(0.001, 0.01, 50), rng.normal(-0.002, 0.03, 170), np.zeros(30)]
    second = [rng.normal(0.002, 0.02, 90)]
    lines = folds_of(first, trial="one") + folds_of(second, trial="two")
    count, variance = _spread(lines)
    whole = [np.concatenate(first), second[0]]
    ratios = [part.mean() / part.std(ddof=1) for part in whole]
    assert count == 2
    assert variance == pytest.approx(np.var(ratios, ddof=1), rel=1e-9)


def test_trials_are_counted_by_configuration_agent_and_seed() -> None:
    """Seeds, agents and configurations count; a stretch written twice does not, and its later line holds."""
    rng = np.random.default_rng(1)
    lines = [
        line
        for name in ("one", "two")
        for agent in ("tft", "ppo")
        for seed in range(3)
        for line in folds_of([rng.normal(0, 0.01, 20)] * 2, trial=name, agent=agent, seed=seed)
    ]
    count, variance = _spread(lines)
    assert count == 12
    assert _spread([replace(line, sharpe=0.5) for line in lines] + lines) == (count, variance)
    assert _spread([]) == (0, 0.0)
    assert _spread(lines[:2]) == (1, 0.0)


def test_what_never_moved_or_failed_counts_as_nothing_gained() -> None:
    """A trial whose equity stood still, and one that failed, have a Sharpe ratio of 0."""
    still = trial("still", trial="still", mean_log_return=0.0, sharpe=math.nan)
    failed = trial("failed", trial="failed", bars=0, mean_log_return=math.nan, sharpe=math.nan)
    good = trial("good", trial="good", mean_log_return=0.001, sharpe=0.3)
    count, variance = _spread([still, failed, good])
    assert count == 3
    assert variance == pytest.approx(np.var([0.0, 0.0, 0.3], ddof=1))


def test_the_hash_forgets_what_is_no_configuration() -> None:
    """Name, folder, seeds, dates, agents and machine leave the hash; every other option changes it."""
    base = RunConfig()
    same = RunConfig(
        name="other",
        out=Path("elsewhere"),
        seed=3,
        splits=SplitConfig(train_end="2020-01-01", validation_end="2021-01-01"),
        agents=("xgboost",),
        policy_seeds=4,
        coin_flips=1,
        tft=NetworkTrainConfig(seed=2, num_threads=2, device="cpu", checkpoint_every=7),
    )
    other = [
        RunConfig(labels=LabelConfig(barrier_atr=1.0)),
        RunConfig(tft=NetworkTrainConfig(learning_rate=2e-3)),
        RunConfig(preset="tiny"),
    ]
    assert trial_hash(to_plain(base)) == trial_hash(to_plain(same))
    assert len({trial_hash(to_plain(each)) for each in (base, *other)}) == 4


def test_the_version_names_the_commit_of_a_checkout_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree with .git has its commit in the version; without it, or without git, the version is plain."""
    commands = []

    def answer(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="1a2b3c4d5e6f\n")

    def version(file: Path, run: Any) -> str:
        monkeypatch.setattr(module, "__file__", str(file))
        monkeypatch.setattr(module.subprocess, "run", run)
        code_version.cache_clear()
        return code_version()

    def refuse(command: list[str], **_: Any) -> Any:
        raise FileNotFoundError("git")

    file = tmp_path / "evaluate" / "ledger.py"
    plain = version(file, answer)
    assert "+" not in plain
    assert not commands
    (tmp_path / ".git").mkdir()
    assert version(file, answer) == f"{plain}+g1a2b3c4d5e6f"
    assert version(file, refuse) == plain
    code_version.cache_clear()
