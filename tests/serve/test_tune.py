"""`quantum-trader tune`: what it prints and writes is what `quantum-trader run` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.serve.cli import _parse, main
from quantum_trader.serve.commands.run import Run


def test_the_best_options_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of options and best.json both make `run` the run with the best options."""
    write_bars(sample_bars()[:1_500], tmp_path / "EURUSD.parquet")
    words = ["--data", str(tmp_path / "EURUSD.parquet"), "--out", str(tmp_path / "runs"), "--trials", "2"]
    quick = ["--agent", "logistic", "--logistic.max-rows", "300", "--logistic.max-iterations", "5"]
    assert main(["tune", *words, *quick, "--ranges.barrier", "1.0", "2.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "trial 0",
        "trial 1",
        "best of 2",
        "options",
        "on test rows",
    ]
    options = lines[-2].removeprefix("options: ").split()
    command = lines[-1].removeprefix("on test rows: quantum-trader ").split()
    assert command[0] == "run"
    best = _parse(("run",), command[1:])
    typed = _parse(("run",), options)
    assert isinstance(best, Run)
    assert isinstance(typed, Run)
    assert best.labels == typed.labels
    assert best.logistic.penalty == typed.logistic.penalty
    assert best.agents == ("logistic",)
    assert best.folder == tmp_path / "runs" / "tune-best"
    assert 1.0 <= typed.labels.barrier_atr <= 2.0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--agent", "ppo", "--criterion", "log_loss"], "net_return or sharpe"),
        (["--ranges.barrier", "2.0", "1.0"], "ascending"),
        (["--agent", "arbiter"], "agent"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    words: list[str],
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bad criterion, bad bounds and an unknown agent end with code 2, named, and write nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["tune", *words])
    assert stop.value.code == 2
    assert fragment in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_option_may_be_left_alone(tmp_path: Path) -> None:
    """None on the command line leaves the run's own value."""
    command = _parse(("tune",), ["--agent", "logistic", "--ranges.barrier", "None"])
    assert [each.option for each in command.dimensions] == ["logistic.penalty"]  # type: ignore[attr-defined]
