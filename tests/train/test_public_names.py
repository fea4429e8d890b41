"""The public names of `quantum_trader.train`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader import train


def test_every_public_name_loads() -> None:
    """Each name in the table is found in the module it points to."""
    assert set(dir(train)) == set(train._MODULES)
    for name in dir(train):
        assert getattr(train, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers and the table for run time say the same."""
    tree = ast.parse(Path(train.__file__ or "").read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    static = {
        alias.asname: (node.module or "").removeprefix("quantum_trader.train.")
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert static == train._MODULES


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A typo fails at once and by name."""
    with pytest.raises(AttributeError, match="'Nothing'"):
        _ = train.Nothing


def test_importing_the_package_imports_nothing_heavy() -> None:
    """A fresh process that imports the package has no learner's library in it."""
    program = (
        "import sys; import quantum_trader.train; "
        "print(*sorted({'torch', 'sklearn', 'xgboost', 'scipy', 'numba', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
