"""A model folder in another place: an installed wheel loads it bit for bit, and refuses a broken one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.arbiter_folder import save_settings
from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import MANIFEST
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.scaler import REFERENCE_SCALER

from .agents.tiny_tft import tiny_tft

# The wheel is built once.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[1]
SOURCES = ("envs", "agents", "train", "evaluate", "serve", "pyproject.toml", "README.md", "LICENSE")

FAULTS = {
    "truncated-weights": "is damaged",
    "truncated-manifest": "is damaged or truncated",
    "no-weights": "is missing",
    "foreign": "expected tft, found arbiter",
    "newer": "newer than format",
    "nowhere": "does not exist",
}
"""Folder that `broken_folders` leaves -> what the sentence about it says."""

ANSWER = """
import sys
from pathlib import Path
import numpy as np
import quantum_trader
from quantum_trader.agents import ModelInputs, TFTAgent

agent = TFTAgent.load(Path(sys.argv[1]), precision="fp32")
signals = agent.signals(ModelInputs(**np.load(sys.argv[2])))
np.savez(sys.argv[3], probabilities=signals.probabilities, quantiles=signals.quantiles)
print(agent.model_hash, *quantum_trader.__path__, sep="\\n")
"""

COMPLAIN = """
import sys
from quantum_trader.serve.cli import main
sys.exit(sum(main(["export", folder, "--out", "model.onnx"]) != 2 for folder in sys.argv[1:]))
"""
"""Exit code: how many of the folders given were not refused."""


def broken_folders(folder: Path) -> None:
    """A model folder with each of the `FAULTS`, side by side in `folder`; "nowhere" is left out."""
    for name in ("truncated-weights", "truncated-manifest", "no-weights", "newer"):
        tiny_tft().save(folder / name)
    (weights,) = (folder / "truncated-weights").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1_000])
    manifest = folder / "truncated-manifest" / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:200])
    (folder / "no-weights" / weights.name).unlink()
    manifest = folder / "newer" / MANIFEST
    plain = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**plain, "format_version": plain["format_version"] + 1, "more": 1}))
    save_settings(
        folder / "foreign",
        ArbiterSettings(),
        members={},
        scaler=REFERENCE_SCALER,
        data_sha256="0" * 64,
        seed=0,
    )


def run(command: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    """A process that the environment of this one does not lead back to the repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=1_800)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with a wheel built from this tree.

    It borrows the dependencies of this one through a path file. Such a path is searched after the fresh
    environment's own packages, and the hooks of an editable install on it are not read.
    """
    folder = tmp_path_factory.mktemp("wheel")
    tree, wheels, home = folder / "tree", folder / "wheels", folder / "venv"
    # setuptools leaves a build folder in the tree that it builds from.
    tree.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, tree], folder)
    assert built.returncode == 0, built.stderr
    venv.create(home, symlinks=True)
    paths = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    python = home / "bin" / "python"
    (wheel,) = wheels.glob("*.whl")
    done = run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], folder)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.slow
def test_a_wheel_elsewhere_answers_bit_for_bit(fresh: Path, tmp_path: Path) -> None:
    """A folder saved here and loaded by the installed wheel gives the same probabilities and quantiles."""
    agent = tiny_tft()
    agent = TFTAgent(
        agent.model,
        scaler=agent.scaler,
        return_scale=agent.return_scale,
        calibration=Calibration(temperature=1.3),
        provenance=replace(agent.provenance, metrics={"log_loss": 1.05}),
        precision="fp32",
    )
    agent.save(tmp_path / "tft")
    rng = np.random.default_rng(0)
    inputs = ModelInputs(
        windows=rng.standard_normal((70, 60, 14)).astype(np.float32),
        context=rng.standard_normal((70, CONTEXT_SIZE)).astype(np.float32),
    )
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context)
    words = ["-c", ANSWER, tmp_path / "tft", tmp_path / "inputs.npz", tmp_path / "answer.npz"]
    done = run([fresh / "bin" / "python", *words], tmp_path)
    assert done.returncode == 0, done.stderr
    model_hash, *places = done.stdout.split()
    assert model_hash == agent.model_hash
    assert places
    assert all(Path(place).is_relative_to(fresh) for place in places), places
    answer, expected = np.load(tmp_path / "answer.npz"), agent.signals(inputs)
    assert answer["probabilities"].tobytes() == expected.probabilities.tobytes()
    assert expected.quantiles is not None
    assert answer["quantiles"].tobytes() == expected.quantiles.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["truncated-weights", "foreign", "newer", "nowhere"])
def test_the_installed_command_refuses_a_broken_folder(fault: str, fresh: Path, tmp_path: Path) -> None:
    """Exit code 2, one line on standard error that names the folder and the fault, and nothing written."""
    broken_folders(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = run([fresh / "bin" / "quantum-trader", "export", fault, "--out", "model.onnx"], tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"quantum-trader: {fault}")
    assert FAULTS[fault] in line
    assert sorted(tmp_path.rglob("*")) == before


def test_another_process_refuses_every_broken_folder(tmp_path: Path) -> None:
    """The same in a second process of this environment: one line each, exit code 2 of each, no traceback."""
    broken_folders(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", COMPLAIN, *FAULTS], cwd=tmp_path, capture_output=True, text=True, timeout=1_800
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(FAULTS)
    for line, (fault, says) in zip(lines, FAULTS.items(), strict=True):
        assert line.startswith(f"quantum-trader: {fault}")
        assert says in line
    assert sorted(tmp_path.rglob("*")) == before
