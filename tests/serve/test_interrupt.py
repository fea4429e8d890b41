"""Ctrl-C in the middle of training leaves a run that the same command finishes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader.serve.cli import main

from ..conftest import QUICK


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Interrupted after its second TFT epoch, a run ends with code 130 and no half-written file; started
    again it goes on from that epoch and finishes."""
    words = ["run", "--name", "cut", "--out", str(tmp_path), *QUICK, "--tft.epochs", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "quantum_trader.serve.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("tft epoch 2:"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "cut" / "checkpoints" / "tft.pt").is_file()

    assert main(words) == 0
    said = capfd.readouterr().out
    assert "xgboost: kept from before" in said
    assert "tft epoch 2:" not in said
    assert "tft epoch 3:" in said
    assert (tmp_path / "cut" / "report.html").is_file()
