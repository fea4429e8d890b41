"""No file that a user could be handed runs code when it is read: no pickle, wherever it hides."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("envs", "agents", "train", "evaluate", "serve")

MODULES = frozenset(
    [
        "_pickle",
        "cPickle",
        "cloudpickle",
        "dill",
        "jsonpickle",
        "joblib",
        "marshal",
        "pickle",
        "shelve",
        "yaml",
        "ruamel",
    ]
)
"""Modules that unpickle, or that build any object a file names."""
CALLS = frozenset(
    [
        "eval",
        "exec",
        "read_pickle",
        "read_hdf",
        "load_pickle",
        "load_from_zip_file",
        "load_replay_buffer",
        "load_from_pkl",
        "unsafe_load",
        "full_load",
    ]
)
"""Functions that do so under any module's name."""
LIBRARIES = frozenset(("stable_baselines3", "sb3_contrib"))
"""Their models' `load` unpickles."""

ALLOWED = {
    ("train/checkpoint.py", "import pickle"): "the exception's class only: torch.load is told weights_only",
    ("evaluate/suite/guard.py", "import pickle"): (
        "a call and its result between this process and its own child, in a temporary folder made for the "
        "call; the child runs the user's own agent anyway"
    ),
    (
        "evaluate/sweep/local_backend.py",
        "import joblib",
    ): "its process pool (loky), no files",
}
"""What is there, each with the reason why no foreign file reaches it."""


def findings(source: str) -> set[str]:
    """Uses of anything that can run code out of a file."""
    tree = ast.parse(source)
    risky = _names_from(tree, LIBRARIES)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {f"import {alias.name.split('.')[0]}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(f"import {node.module.split('.')[0]}")
        elif isinstance(node, ast.Call):
            found |= _of_call(node, risky)
    return {name for name in found if not name.startswith("import ") or name[7:] in MODULES}


def _names_from(tree: ast.AST, libraries: frozenset[str]) -> set[str]:
    """Names imported from these libraries."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in libraries
        for alias in node.names
    }


def _of_call(node: ast.Call, risky: set[str]) -> set[str]:
    name = ast.unparse(node.func)
    owner, _, last = name.rpartition(".")
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if (last in CALLS and not (owner and last in ("eval", "exec"))) or (owner in risky and last == "load"):
        return {name}
    if name == "torch.load" and keywords.get("weights_only") != "True":
        return {"torch.load"}
    if keywords.get("allow_pickle", "False") != "False":
        return {f"{name}(allow_pickle)"}
    return set()


@pytest.mark.parametrize("layer", LAYERS)
def test_the_product_reads_no_pickle(layer: str) -> None:
    """Everything found is in `ALLOWED` with its reason, and everything allowed is still there."""
    found = {
        (str(path.relative_to(ROOT)), use)
        for path in sorted((ROOT / layer).rglob("*.py"))
        for use in findings(path.read_text(encoding="utf-8"))
    }
    assert found == {key for key in ALLOWED if key[0].startswith(f"{layer}/")}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "import pickle"),
        ("def f():\n    from joblib.memory import x", "import joblib"),
        ("import torch\ntorch.load(p)", "torch.load"),
        ("import torch\ntorch.load(p, weights_only=False)", "torch.load"),
        ("import numpy as np\nnp.load(p, allow_pickle=True)", "np.load(allow_pickle)"),
        ("import numpy as np\nnp.load(p, allow_pickle=flag)", "np.load(allow_pickle)"),
        ("import yaml\n", "import yaml"),
        ("import pandas as pd\npd.read_pickle(p)", "pd.read_pickle"),
        ("from stable_baselines3 import PPO\nPPO.load(p)", "PPO.load"),
        ("eval(text)", "eval"),
    ],
)
def test_the_scan_would_notice(source: str, found: str) -> None:
    """Each kind of use, in each form."""
    assert findings(source) == {found}


@pytest.mark.parametrize(
    "source",
    ["torch.load(p, weights_only=True)", "np.load(p)", "np.load(p, allow_pickle=False)", "model.eval()"],
)
def test_the_scan_does_not_cry_wolf(source: str) -> None:
    """What cannot run code is let through."""
    assert not findings(source)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


def test_a_planted_pickle_does_not_go_off(tmp_path: Path) -> None:
    """In a checkpoint's place it is a damaged checkpoint; in a journal's place no journal."""
    from quantum_trader.envs.errors import QuantumTraderError
    from quantum_trader.serve.journal.journal import Journal
    from quantum_trader.train.checkpoint import read_checkpoint

    planted, mark = tmp_path / "planted", tmp_path / "mark"
    planted.write_bytes(pickle.dumps({"state": Bomb(mark)}, protocol=2))
    with pytest.raises(QuantumTraderError):
        read_checkpoint(planted, config_sha256="")
    with pytest.raises(QuantumTraderError):
        Journal(planted)
    assert not mark.exists()
    pickle.loads(planted.read_bytes())["state"].close()
    assert mark.exists(), "the bomb would have gone off"
