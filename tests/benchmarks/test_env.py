"""`benchmarks/env.py` from end to end, with rounds too short to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from peers import names
from peers.registry import GYM_ANYTRADING, PEERS
from peers.table import TARGETS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "env.py"
SINGLES = {names.SINGLE_FULL, names.SINGLE_BARE, names.BACKTEST}
OURS = {value for name, value in vars(names).items() if name.isupper()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run prints, and its JSON."""
    path = tmp_path_factory.mktemp("bench") / "env.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent)
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.xdist_group("benchmark_env")
def test_every_figure_is_measured(run: tuple[str, dict[str, Any]]) -> None:
    """All of this project's figures and the installed peers' are there, each the best of its rounds."""
    document = run[1]
    figures = {(each["what"], each["accounts"]): each for each in document["figures"]}
    expected = {(name, 1 if name in SINGLES else 64) for name in OURS} | {(GYM_ANYTRADING, 1)}
    assert expected <= set(figures)
    for each in figures.values():
        assert len(each["rounds"]) == document["rounds"]["number"] == 2
        assert each["steps_per_second"] == max(each["rounds"]) > 0


@pytest.mark.xdist_group("benchmark_env")
def test_ratios_and_targets_follow_from_the_figures(run: tuple[str, dict[str, Any]]) -> None:
    """A ratio is the quotient of its two figures; targets at N=1024 stay open in a run at N=64."""
    document = run[1]
    speed = {(each["what"], each["accounts"]): each["steps_per_second"] for each in document["figures"]}
    assert (names.SINGLE_BARE, GYM_ANYTRADING) in {(each["what"], each["to"]) for each in document["ratios"]}
    for each in document["ratios"]:
        quotient = speed[each["what"], each["accounts"]] / speed[each["to"], each["accounts"]]
        assert each["ratio"] == quotient
    assert len(document["targets"]) == len(TARGETS)
    for each in document["targets"]:
        assert (each["passed"] is None) == (each["reached"] is None)
        if each["target"]["smallest"] > 64:
            assert each["passed"] is None


@pytest.mark.xdist_group("benchmark_env")
def test_the_run_says_where_and_against_what(run: tuple[str, dict[str, Any]]) -> None:
    """Machine and versions are recorded; a peer is either measured or listed with how to get it."""
    printed, document = run
    assert {"processor", "cores", "system", "python"} == set(document["machine"])
    assert {"numpy", "numba", "gymnasium"} <= set(document["versions"]["ours"])
    for name, peer in PEERS.items():
        assert (name in document["versions"]) != (name in document["not_installed"])
        if name in document["not_installed"]:
            assert f"pip install {peer.requirement}" in printed
    assert "Targets" in printed
