"""Ctrl-C in the middle of training leaves a run that the same command finishes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader.serve.cli import main

from ..conftest import QUICK

INTERRUPTED = """
import os, signal, sys
from quantum_trader.serve.cli import main

class Watched:
    def __init__(self, stream):
        self.stream = stream
    def __getattr__(self, name):
        return getattr(self.stream, name)
    def write(self, text):
        written = self.stream.write(text)
        if "tft epoch 2:" in text:
            os.kill(os.getpid(), signal.SIGINT)
        return written

sys.stdout = Watched(sys.stdout)
raise SystemExit(main())
"""
"""The command, interrupted as it says that its second epoch is over: a signal from outside may come any
number of epochs later."""


@pytest.mark.slow
def test_ctrl_c_leaves_a_resumable_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Interrupted after its second TFT epoch, a run ends with code 130 and no half-written file; started
    again it goes on from that epoch and finishes."""
    words = ["run", "--name", "cut", "--out", str(tmp_path), *QUICK, "--tft.epochs", "5"]
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, timeout=1_200
    )
    errors = process.stderr
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
