"""What policies earn where trading is dearer or slower, on a finished run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "policies.py"


@pytest.mark.xdist_group("finished_run")
def test_every_policy_meets_every_condition(finished_run: Path) -> None:
    """The rule and PPO each have a return and a number of trades for all five conditions."""
    done = subprocess.run(
        [sys.executable, SCRIPT, finished_run], capture_output=True, text=True, timeout=1_800, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[0]: re.findall(r"[+-][\d.]+% +\d+", line) for line in done.stdout.splitlines()}
    assert len(rows["the rule"]) == len(rows["ppo"]) == 5
