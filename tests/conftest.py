"""What tests of several folders share: the threads of a test process, and one small finished run."""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

# Before anything imports torch or xgboost: test processes share the cores, and threads that wait for a busy
# core make every product of matrices ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that: tests of an
# interrupt would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some environments that run a part of the tests lack it.
with suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # Nothing is late on a slow machine, and every run tries the same examples.
    settings.register_profile(
        "any machine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")

QUICK = (
    *("--preset", "tiny", "--tft.epochs", "2", "--rl.total-steps", "40000", "--rl.evaluations", "4"),
    *("--xgboost.rounds", "40", "--coin-flips", "20", "--bootstrap-draws", "100"),
    *("--arbiter.latency-budget-ms", "0"),
)
"""Options that make a run small; nothing is left out of it, and no machine is too slow for its TFT."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Keep the tests of an `xdist_group` together, or every worker would make what they share.

    pytest-xdist 3.8 adds the group to a test's name, but where pytest 9.2 no longer looks.
    """
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and hasattr(item, "_id") and not item.nodeid.endswith(f"@{mark.args[0]}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{mark.args[0]}")


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Global generators begin alike in every test, whatever ran before it in the same process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run on the embedded sample, called "demo". Copy it before changing anything in it.

    Tests that ask for it are marked `xdist_group("finished_run")`, so that it is made once.
    """
    from quantum_trader.serve.cli import main

    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "--name", "demo", "--out", str(out), *QUICK]) == 0
    return out / "demo"
