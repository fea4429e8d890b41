"""`benchmarks/tft.py` from end to end, with a tiny network and rounds too short to mean anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tft_peers.registry import PEERS
from tft_peers.sections import SECTIONS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tft.py"
OURS = "quantum-trader, tiny"
NO_DROPOUT, NO_KNOTS = f"{OURS}, no dropout", f"{OURS}, no knots"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run prints, and its JSON."""
    path = tmp_path_factory.mktemp("bench") / "tft.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.xdist_group("benchmark_tft")
def test_every_case_is_measured(run: tuple[str, dict[str, Any]]) -> None:
    """Training, the network alone, prediction and the live path, in both precisions, each the best round."""
    document = run[1]
    found = {
        (each["case"]["kind"], each["case"]["precision"], each["case"]["batch"]): each["figures"]
        for each in document["results"]
    }
    training = {("train", precision, 8) for precision in ("bf16", "fp32")}
    answers = {
        (kind, precision, count)
        for kind in ("model", "predict", "live")
        for precision in ("bf16", "fp32")
        for count in (1, 2)
    }
    assert set(found) == training | answers
    for case, figures in found.items():
        names = {each["what"] for each in figures}
        assert names >= {OURS, NO_KNOTS} | ({NO_DROPOUT} if case in training else set())
        for each in figures:
            assert each["steps_per_second"] == max(each["rounds"]) > 0


@pytest.mark.xdist_group("benchmark_tft")
def test_ratios_and_shares_follow_from_the_figures(run: tuple[str, dict[str, Any]]) -> None:
    """A ratio is the quotient of two figures; a share is windows per second times work over the peak."""
    document = run[1]
    rates = {
        (tuple(each["case"].values()), figure["what"]): figure["steps_per_second"]
        for each in document["results"]
        for figure in each["figures"]
    }
    for each in document["ratios"]:
        case = tuple(each["case"].values())
        assert each["ratio"] == rates[case, each["what"]] / rates[case, each["to"]]
    shares = {(each["what"], each["precision"]): each["share"] for each in document["peak_shares"]}
    assert {what for what, _ in shares} >= {OURS, NO_KNOTS}
    for (what, precision), share in shares.items():
        work = sum(document["sizes"][what]["flops"].values()) / 8
        peak = max(document["peaks"][precision].values())
        assert share == pytest.approx(rates[("train", precision, 8), what] * work / peak)


@pytest.mark.xdist_group("benchmark_tft")
def test_the_whole_step_is_broken_down(run: tuple[str, dict[str, Any]]) -> None:
    """Shares of parts and of kinds of operations add up to 1, and no part of the step was never met."""
    for found in run[1]["breakdowns"].values():
        spent = {each["part"]: each["forward"] + each["backward"] for each in found["parts"]}
        assert sum(spent.values()) == pytest.approx(1.0)
        assert sum(found["kinds"].values()) == pytest.approx(1.0)
        assert all(spent[section.part] > 0 for section in SECTIONS)
        backward = {each["part"]: each["backward"] for each in found["parts"]}
        assert backward["data gather"] == backward["clipping, AdamW, average"] == 0.0
        assert min(backward["LSTM"], backward["variable selection"], backward["attention"]) > 0.0


@pytest.mark.xdist_group("benchmark_tft")
def test_the_run_says_where_and_against_what(run: tuple[str, dict[str, Any]]) -> None:
    """Machine, threads and versions are recorded; a peer is either measured or listed with how to get it."""
    printed, document = run
    assert {"processor", "cores", "system", "python", "bf16_instructions"} == set(document["machine"])
    assert document["options"]["threads"] == 1
    assert {"torch", "numpy"} <= set(document["versions"]["quantum-trader"])
    for name, peer in PEERS.items():
        assert (name in document["versions"]) != (name in document["not_installed"])
        if name in document["not_installed"]:
            assert f"{name} not installed" in printed
            assert f"pip install {peer.requirement}" in printed
