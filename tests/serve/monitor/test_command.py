"""`quantum-trader monitor` on a journal written by the product itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from quantum_trader.serve.cli import main
from quantum_trader.serve.monitor.table import Table

from .a_journal import write_journal
from .simulated import Truth, changed, last_bars, rows_of, simulate

FAST = ("--limits.draws", "100")


@pytest.fixture(scope="module")
def now_ms() -> int:
    """Now, as the first test of this file meets it."""
    return time.time_ns() // 1_000_000


@pytest.fixture(autouse=True)
def time_stands_still(now_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fresh for the first test is for the last, however long those between take."""
    monkeypatch.setattr("quantum_trader.agents.clock.system_ms", lambda: now_ms)


def fresh(table: Table, now_ms: int) -> Table:
    """The same decisions, the newest of them taken just now."""
    shift = (now_ms - 60_000 - int(table.decided_ms.max())) // 3_600_000 * 3_600_000
    moved = table.exit_ms + shift * (table.exit_ms > 0)
    return replace(table, bar_ms=table.bar_ms + shift, decided_ms=table.decided_ms + shift, exit_ms=moved)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory, now_ms: int) -> Path:
    table = fresh(simulate(Truth(bars=200, win=0.6, shadow_win=0.58)), now_ms)
    return write_journal(tmp_path_factory.mktemp("monitor") / "journal.db", rows_of(table))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, now_ms: int) -> Path:
    table = fresh(simulate(Truth(bars=200, win=0.6)), now_ms)
    broken = changed(table, last_bars(table, 20), source="none", reason="TFT failed; XGBoost not available")
    return write_journal(tmp_path_factory.mktemp("monitor") / "journal.db", rows_of(broken))


def test_the_text_of_a_healthy_journal(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 0, figures, no alerts; nothing to fail on."""
    assert main(["monitor", str(journal), "--fail-on", "warning", *FAST]) == 0
    text = capsys.readouterr().out
    assert "no alerts" in text
    assert "600 (582)" in text


def test_json_ranges_and_symbols(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of strict JSON; the last day of one symbol has its 24 bars."""
    assert main(["monitor", str(journal), "--json", "--hours", "24", "--symbols", "SYM1USDT", *FAST]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    report = json.loads(lines[0], parse_constant=lambda _: pytest.fail("not strict JSON"))
    assert report["symbols"] == ["SYM1USDT"]
    assert report["arbiter"]["decisions"] in (23, 24)
    assert report["arbiter"]["calibration_error"] is None


def test_alerts_set_the_exit_code_if_asked(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For cron: 1 where one stands, 0 as long as nobody asks."""
    assert main(["monitor", str(broken), *FAST]) == 0
    assert "CRITICAL fallback" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["monitor", str(broken), "--fail-on", "critical", *FAST])
    assert stopped.value.code == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--symbols", "NOPE"], "SYM0USDT"),
        (["--hours", "-1"], "--hours"),
        (["--watch", "nan"], "--watch"),
        (["--watch", "1", "--fail-on", "warning"], "--fail-on"),
    ],
)
def test_a_mistake_is_one_sentence(
    journal: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, the option, and what is expected."""
    assert main(["monitor", str(journal), *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_limits_can_be_set(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its name; one outside its range ends with code 2."""
    assert main(["monitor", str(journal), "--limits.hold-range", "0.7", "0.9", *FAST]) == 0
    assert "WARNING shares" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["monitor", str(journal), "--limits.alert-level", "2"])
    assert stopped.value.code == 2
    assert "alert_level" in capsys.readouterr().err


def test_a_missing_journal_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And no file is made."""
    assert main(["monitor", str(tmp_path / "none.db")]) == 2
    assert "no journal" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_watching_cleanly(journal: Path) -> None:
    """Code 0, nothing on stderr, and at least one whole report."""
    program = "from quantum_trader.serve.cli import main; raise SystemExit(main())"
    # After the first look it waits: the signal must not meet it inside a library, which might complain.
    command = [sys.executable, "-c", program, "monitor", str(journal), "--json", "--watch", "3600", *FAST]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=600)
    assert json.loads(first)["arbiter"]["decisions"] == 600
    assert (process.returncode, errors) == (0, "")
