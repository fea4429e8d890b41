"""What tests of several folders share: the threads of a test process, and one small finished run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Before anything imports torch or xgboost: test processes share the cores, and threads that wait for a busy
# core make every product of matrices ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that: tests of an
# interrupt would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

QUICK = (
    *("--preset", "tiny", "--tft.epochs", "2", "--rl.total-steps", "40000", "--rl.evaluations", "4"),
    *("--xgboost.rounds", "40", "--coin-flips", "20", "--bootstrap-draws", "100"),
)
"""Options that make a run small; nothing is left out of it."""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run on the embedded sample, called "demo". Copy it before changing anything in it.

    Tests that ask for it are marked `xdist_group("finished_run")`, so that it is made once.
    """
    from quantum_trader.serve.cli import main

    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "--name", "demo", "--out", str(out), *QUICK]) == 0
    return out / "demo"
