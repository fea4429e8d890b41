"""What a wheel holds: every sub-package, its type marker, and nothing that belongs to the repository only."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("envs", "agents", "train", "evaluate", "serve")


def modules_in_tree() -> set[str]:
    """Paths of all modules as an installed package has them."""
    return {
        str(Path("quantum_trader") / path.relative_to(ROOT))
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*.py")
    }


def test_every_sub_package_is_listed() -> None:
    """A folder with an __init__.py that pyproject.toml does not list would be missing once installed."""
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {
        f"quantum_trader.{'.'.join(path.parent.relative_to(ROOT).parts)}"
        for layer in LAYERS
        for path in (ROOT / layer).rglob("__init__.py")
    }
    assert set(setup["packages"]) == folders
    assert set(setup["package-dir"]) == folders


def test_type_checkers_find_every_layer() -> None:
    """Each layer is linked below .links/quantum_trader and carries py.typed."""
    for layer in LAYERS:
        link = ROOT / ".links" / "quantum_trader" / layer
        assert link.is_symlink()
        assert link.samefile(ROOT / layer)
        assert (ROOT / layer / "py.typed").is_file()


@pytest.mark.slow
def test_the_wheel_holds_the_tree(tmp_path: Path) -> None:
    """Every module of the tree is in the wheel, and the wheel has no top-level `agents` or `evaluate`."""
    # setuptools keeps a build folder in the tree it builds from: stale modules in it would hide a fault.
    tree, out = tmp_path / "tree", tmp_path / "out"
    kept = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=kept)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(out), str(tree)]
    subprocess.run(command, check=True, capture_output=True, timeout=1_800)
    (wheel,) = out.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if name.endswith(".py")} == modules_in_tree()
    assert {f"quantum_trader/{layer}/py.typed" for layer in LAYERS} <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"quantum_trader"}
