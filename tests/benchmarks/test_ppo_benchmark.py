"""`benchmarks/ppo.py` from end to end, with a tiny encoder and rounds too short to mean anything."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ppo.py"
INSIDE, TABLE, OURS = (
    "SB3, encoder inside, trained, fp32",
    "SB3's DummyVecEnv on the table",
    "ours on the table",
)
ROWS = {
    (INSIDE, 8),
    ("SB3, encoder inside, frozen, fp32", 8),
    ("ours, fine-tuning, bf16, shared starts", 8),
    (TABLE, 8),
    (OURS, 4),
    (OURS, 8),
}
PARTS = {"update", "policy forward", "environment", "buffer and advantages", "rest"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a quick run prints, and its JSON."""
    path = tmp_path_factory.mktemp("bench") / "ppo.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    return done.stdout, json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.xdist_group("benchmark_ppo")
def test_every_figure_is_measured(run: tuple[str, dict[str, Any]]) -> None:
    """Every way of training is there with its number of accounts, finite and positive, the best round."""
    document = run[1]
    assert {(each["what"], each["accounts"]) for each in document["figures"]} == ROWS
    assert [each["what"] for each in document["embedding"]["figures"]] == ["fp32", "bf16"]
    for each in [*document["figures"], *document["embedding"]["figures"]]:
        assert math.isfinite(each["steps_per_second"])
        assert each["steps_per_second"] == max(each["rounds"]) > 0


@pytest.mark.xdist_group("benchmark_ppo")
def test_ratios_follow_from_the_figures(run: tuple[str, dict[str, Any]]) -> None:
    """Ours at every number of accounts, over the encoder inside and over SB3 on the table."""
    document = run[1]
    rates = {(each["what"], each["accounts"]): each["steps_per_second"] for each in document["figures"]}
    found = {(each["accounts"], each["to"]): each["ratio"] for each in document["ratios"]}
    assert found == {
        (accounts, to): rates[OURS, accounts] / rates[to, 8] for accounts in (4, 8) for to in (INSIDE, TABLE)
    }


@pytest.mark.xdist_group("benchmark_ppo")
def test_the_whole_training_is_broken_down(run: tuple[str, dict[str, Any]]) -> None:
    """Shares add up to 1, and every part was met."""
    shares = run[1]["shares"]
    assert set(shares) == PARTS
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) > 0


@pytest.mark.xdist_group("benchmark_ppo")
def test_the_table_is_costed(run: tuple[str, dict[str, Any]]) -> None:
    """10 numbers of 4 bytes a window, the outputs; formats round differently, but not by much."""
    embedding = run[1]["embedding"]
    assert embedding["bytes_per_window"] == 10 * 4
    assert 0 < embedding["difference"] < 0.1


@pytest.mark.xdist_group("benchmark_ppo")
def test_everything_is_printed(run: tuple[str, dict[str, Any]]) -> None:
    """A line for every figure, part and target, and what the processor can do."""
    printed, document = run
    lines = printed.splitlines()
    for what, accounts in ROWS:
        assert any(line.startswith(what) and f" {accounts} " in line for line in lines)
    for part in PARTS:
        assert any(line.strip().startswith(part) and line.endswith("%") for line in lines)
    assert sum(line.strip().startswith(("reached", "missed")) for line in lines) == 3
    assert "AMX: " in printed
    assert "300,000 windows" in printed
    assert {"processor", "cores", "system", "python", "bf16_instructions"} == set(document["machine"])
    assert {"torch", "stable_baselines3"} <= set(document["versions"])
