"""Finds somebody's own agent: by entry point, by module, or in a file.

Nothing of theirs is imported here: what is found is a recipe, carried out where it cannot do harm.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from quantum_trader.evaluate.suite.contestant import Contestant, ContestantError, checked_contestant

GROUP = "quantum_trader.agents"
"""Group of the entry points under which an installed package offers its agents."""

_EXPECTED = 'expected "module:Class", "path/to/file.py:Class"'


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a contestant; it travels to other processes, where its code is imported.

    Attributes:
        source: a module's name, or the path of a file.
        attribute: what to take from it: a class, or a function that gives an agent.
    """

    source: str
    attribute: str

    def __call__(self) -> Contestant:
        """Import the code and make the agent, without arguments.

        Raises:
            ContestantError: there is no such class, it cannot be made, or what it makes cannot take part.
        """
        module = _load_file(Path(self.source)) if _is_file(self.source) else _load_module(self.source)
        found: Any = module
        for part in self.attribute.split("."):
            if not hasattr(found, part):
                raise ContestantError(f"{self.source} holds no {self.attribute!r}; {_offers(module)}.")
            found = getattr(found, part)
        if not callable(found):
            raise ContestantError(
                f"{self.source}:{self.attribute}: expected a class, found {type(found).__name__}."
            )
        return checked_contestant(found())


def entry_point_names() -> tuple[str, ...]:
    """Names of the agents that installed packages offer, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find_contestant(spec: str) -> Callable[[], Contestant]:
    """What makes a contestant; each call gives a fresh one.

    Args:
        spec: the name of an entry point of group "quantum_trader.agents", "module:Class", or
            "path/to/file.py:Class"; modules are looked for in the current folder too.

    Raises:
        ContestantError: there is none; the message lists the known names.
    """
    recipe = _recipe(spec)
    if _is_file(recipe.source):
        _check_file(Path(recipe.source), recipe.attribute)
    elif _origin(recipe.source) is None:
        raise ContestantError(
            f"{spec}: expected a module that can be imported, found no {recipe.source!r} among the installed "
            "packages or in the current folder."
        )
    return recipe


def source_digest(spec: str) -> str:
    """Hex SHA-256 of a contestant's code: of its file, or of every Python file of its package.

    What it imports from elsewhere is not part of it.

    Raises:
        ContestantError: as `find_contestant`.
    """
    find_contestant(spec)
    recipe = _recipe(spec)
    sha = hashlib.sha256(recipe.attribute.encode())
    if _is_file(recipe.source):
        files = [Path(recipe.source)]
    else:
        origin, top = _origin(recipe.source), _origin(recipe.source.partition(".")[0])
        assert origin is not None  # find_contestant saw to it
        package = top is not None and top.name == "__init__.py"
        files = sorted(top.parent.rglob("*.py")) if package and top is not None else [origin]
    for file in files:
        sha.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return sha.hexdigest()


def _recipe(spec: str) -> Recipe:
    """Where `spec` says that the agent is; no look is taken."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if spec in points:
        return _of_entry_point(points[spec])
    source, colon, attribute = spec.rpartition(":")
    if not colon or not source or not attribute:
        known = ", ".join(sorted(points)) or "none is installed"
        raise ContestantError(
            f"{spec!r} is no agent: {_EXPECTED} or the name of an entry point of group {GROUP!r} ({known})."
        )
    return Recipe(source=str(Path(source).resolve()) if _is_file(source) else source, attribute=attribute)


def _of_entry_point(point: EntryPoint) -> Recipe:
    if not point.attr:
        raise ContestantError(
            f"Entry point {point.name!r}: expected the form module:Class, found {point.value!r}."
        )
    return Recipe(source=point.module, attribute=point.attr)


def _is_file(source: str) -> bool:
    return source.endswith(".py")


def _check_file(path: Path, attribute: str) -> None:
    """Refuse a file that is missing, no Python, or without the name at its top; it is read, not run."""
    if not path.is_file():
        raise ContestantError(f"{path}: no such file; {_EXPECTED}.")
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise ContestantError(f"{path}: expected Python code ({error}).") from error
    # Whatever happens to a name, it is mentioned; a name that is not cannot be there.
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    mentioned |= {node.asname or node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    if attribute.partition(".")[0] not in mentioned.union(defined):
        raise ContestantError(f"{path} holds no {attribute!r}; it defines {', '.join(defined) or 'nothing'}.")


def _origin(name: str) -> Path | None:
    """The file of a module, found without importing anything; None where there is none."""
    places: Sequence[str] | None = None
    found = None
    parents = name.split(".")
    for depth in range(1, len(parents) + 1):
        found = _find_spec(".".join(parents[:depth]), places)
        if found is None:
            return None
        places = found.submodule_search_locations
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


def _find_spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        found = finder.find_spec(name, places)
        if found is not None:
            return found
    return PathFinder.find_spec(name, [str(Path.cwd())]) if places is None else None


def _load_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(name)


def _load_file(path: Path) -> ModuleType:
    """Run a file as a module of its own; what lies beside it can be imported by it."""
    name = f"contestant_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ContestantError(f"{path}: no such file; {_EXPECTED}.")
    module = importlib.util.module_from_spec(spec)
    # Under its name, so that the agent can be pickled by what it uses.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _offers(module: ModuleType) -> str:
    classes = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    return f"its classes are {', '.join(classes)}" if classes else "it defines no class"
