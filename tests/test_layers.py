"""The rule between the folders: imports point one way, and never at a bare folder name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("envs", "agents", "train", "evaluate", "serve")
"""From the bottom up: each may import itself and those before it."""


def imported_layers(source: str) -> set[str]:
    """Layers that a module's source imports, at any depth of nesting."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "quantum_trader" and len(part) > 1}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_only_upstream(layer: str) -> None:
    """serve -> evaluate -> train -> agents -> envs, and nothing the other way."""
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    for path in sorted((ROOT / layer).rglob("*.py")):
        found = imported_layers(path.read_text(encoding="utf-8"))
        assert found <= allowed, f"{path.relative_to(ROOT)} imports {sorted(found - allowed)}"


def test_the_rule_would_notice_a_breach() -> None:
    """An import inside a function counts, in either form."""
    assert imported_layers("def f():\n    import quantum_trader.serve.cli\n") == {"serve"}
    assert imported_layers("from quantum_trader.train import fit_tft\n") == {"train"}
    assert imported_layers("from quantum_trader import evaluate\n") == {"evaluate"}
