"""Several algorithms with several seeds in one run: trained, kept, judged, judged again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.folder import load_model_folder
from quantum_trader.agents.policy_agent import PolicyAgent
from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.evaluate.run_train import load_agents
from quantum_trader.serve.cli import main

POLICIES = ("ppo", "ppo-seed1", "a2c", "a2c-seed1")
TINY = (
    *("--agents", "tft", "ppo", "a2c", "--preset", "tiny", "--tft.epochs", "1"),
    *("--rl.total-steps", "4096", "--rl.num-envs", "32", "--rl.evaluations", "2"),
    *("--coin-flips", "5", "--bootstrap-draws", "20"),
)


def start(folder: Path, seeds: int) -> int:
    """Run, or run again, two algorithms with so many seeds each; the bars lie beside the run."""
    data = folder.parent / "EURUSD.parquet"
    if not data.exists():
        write_bars(sample_bars()[:2_000], data)
    place = ("--name", folder.name, "--out", str(folder.parent), "--data", str(data))
    return main(["run", *place, *TINY, "--policy-seeds", str(seeds)])


pytestmark = pytest.mark.xdist_group("policy_seeds")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two algorithms with two seeds each."""
    folder = tmp_path_factory.mktemp("runs") / "seeds"
    assert start(folder, 2) == 0
    return folder


def test_every_seed_of_every_algorithm_is_trained(run: Path) -> None:
    """Four model folders of different seeds and weights, all on one encoder and one set of tables."""
    found = {path.name for path in (run / "models").iterdir()}
    assert found == {*POLICIES, "tft", "arbiter"}
    folders = {name: load_model_folder(run / "models" / name, kind="policy") for name in POLICIES}
    weights = {name: folder.files["policy.safetensors"].sha256 for name, folder in folders.items()}
    assert weights["ppo"] != weights["ppo-seed1"]
    assert weights["a2c"] != weights["a2c-seed1"]
    assert {name: folder.provenance.seed for name, folder in folders.items()} == {
        "ppo": 0,
        "ppo-seed1": 1,
        "a2c": 0,
        "a2c-seed1": 1,
    }
    encoder = load_model_folder(run / "models" / "tft").sha256
    assert {folder.extra["encoder_sha256"] for folder in folders.values()} == {encoder}
    assert len(list((run / "embeddings").glob("*.npy"))) == 2, "training and validation, encoded once"
    assert not list((run / "checkpoints").iterdir())


def test_the_loaded_agents_hold_them_all(run: Path) -> None:
    """Every policy is there by name and shares the one TFT; the Arbiter listens to PPO's first seed."""
    agents = load_agents(run, ("tft", "ppo", "a2c"), policy_seeds=2)
    assert [policy.name for policy in agents.policies] == list(POLICIES)
    assert agents.arbiter is not None
    assert agents.ppo is agents.arbiter.ppo is agents.policies[0]
    assert all(policy.tft is agents.tft for policy in agents.policies)
    assert all(policy.calibration is not None for policy in agents.policies)
    alone = PolicyAgent.load(run / "models" / "a2c-seed1")
    assert alone.model_hash == agents.policies[3].model_hash
    state, flat = np.ones((4, alone.network.shape.state_size), np.float32), None
    np.testing.assert_array_equal(
        alone.probabilities(state, flat), agents.policies[3].probabilities(state, flat)
    )


def test_each_is_judged(run: Path) -> None:
    """metrics.json has an entry for each policy, none of them twice."""
    names = [agent["name"] for agent in json.loads((run / "metrics.json").read_text())["agents"]]
    assert len(names) == len(set(names))
    assert {*POLICIES, "tft", "arbiter"} <= set(names)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in POLICIES)


def test_a_second_start_finds_them_finished(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is fitted again, and the figures are the same."""
    before = (run / "metrics.json").read_bytes()
    assert start(run, 2) == 0
    said = capsys.readouterr().out
    assert ": fitting" not in said
    kept = re.findall(r"^([\w-]+): kept from before", said, re.MULTILINE)
    assert kept == ["tft", *POLICIES, "arbiter"]
    assert (run / "metrics.json").read_bytes() == before


def test_a_third_seed_is_added(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One seed more trains that seed of each algorithm and leaves the others."""
    copy = Path(shutil.copytree(run, tmp_path / run.name))
    shutil.copy(run.parent / "EURUSD.parquet", tmp_path)
    assert start(copy, 3) == 0
    fitted = re.findall(r"^([\w-]+): fitting", capsys.readouterr().out, re.MULTILINE)
    assert fitted == ["ppo-seed2", "a2c-seed2"]


def test_evaluate_judges_them_all_again(run: Path, tmp_path: Path) -> None:
    """The judgement of the finished run is repeated for every policy, figure for figure."""
    assert main(["evaluate", str(run), "--output", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again == json.loads((run / "metrics.json").read_text())
    assert set(POLICIES) <= {agent["name"] for agent in again["agents"]}
