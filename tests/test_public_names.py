"""The names that each package offers, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("envs", "agents", "agents.tft", "agents.bilstm", "train", "evaluate", "evaluate.report")
HEAVY = {"numba", "pandas", "scipy", "sklearn", "stable_baselines3", "talib", "torch", "xgboost"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_loads(package: str) -> None:
    """Each name in a package's table is found in the module it points to."""
    module = importlib.import_module(f"quantum_trader.{package}")
    assert set(dir(module)) == set(module._MODULES)
    # A module of a public name's own name would take its place once it is imported.
    assert not set(module._MODULES) & {target.split(".")[0] for target in module._MODULES.values()}
    for name in dir(module):
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package: str) -> None:
    """The imports for type checkers and the table for run time say the same."""
    module = importlib.import_module(f"quantum_trader.{package}")
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    static = {
        alias.asname: (node.module or "").removeprefix(f"quantum_trader.{package}.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == module._MODULES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typo fails at once and by name."""
    from quantum_trader import envs

    with pytest.raises(AttributeError, match="'Marktet'"):
        _ = envs.Marktet


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_imports_nothing_heavy(package: str) -> None:
    """A fresh process that imports a package has no learner, compiler or table library in it."""
    program = f"import sys, quantum_trader.{package}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize(
    "command",
    [
        *("run", "train tft", "train bilstm", "train xgboost", "train ppo", "train rl"),
        *("evaluate", "explain", "export", "data inspect"),
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    """`--help` of every command answers without loading what the command itself needs."""
    program = (
        "import sys\nfrom quantum_trader.serve.cli import main\n"
        f"try:\n    main({command.split()!r} + ['--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        f"print('HEAVY', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "HEAVY"
