"""Model folders that the service may load: the first one, and by name those below one root."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.serve.service.errors import ServiceError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Load(Protocol):
    """Loads an Arbiter from a folder; `load_arbiter` with the operator's options."""

    def __call__(self, folder: Path) -> Arbiter:
        """The Arbiter of `folder`."""
        ...


class ModelFolders:
    """Finds, loads and checks models.

    Args:
        first: the folder the service was started with.
        root: folder whose sub-folders may be named; None for none.
        load: loads one.
        check: raises `ModelFolderError` if the models do not answer sanely.
    """

    def __init__(
        self, first: Path, root: Path | None, *, load: Load, check: Callable[[Arbiter], None]
    ) -> None:
        self._first, self._root = first, root
        self._load, self._check = load, check

    def find(self, name: str | None) -> Path:
        """The folder of that name below the root; the first one for None.

        Raises:
            ServiceError: 404, there is none, or the name leads out of the root.
        """
        if name is None:
            return self._first
        if self._root is None:
            raise _unknown("This service was started without --models-root: leave the model's name out.")
        root = self._root.resolve()
        if not _NAME.fullmatch(name):
            raise _unknown("A model's name has letters, digits, '.', '_' and '-' only.")
        path = (root / name).resolve()
        if path.parent != root or not path.is_dir():
            raise _unknown(f"There is no model folder {name} below the models root.")
        return path

    def load(self, name: str | None) -> Arbiter:
        """A new Arbiter that has passed its self-check; blocking, takes seconds.

        Raises:
            ServiceError: see `find`.
            ModelFolderError: the folder holds a link that leads out of it, or the models do not pass.
        """
        folder = self.find(name)
        if name is not None:
            _refuse_links_out(folder)
        arbiter = self._load(folder)
        self._check(arbiter)
        return arbiter


def refuse_loss(new: Arbiter, old: Arbiter) -> None:
    """Refuse models that lack a part which those in use have: it is damaged rather than left out.

    Raises:
        ModelFolderError: names the first such part.
    """
    known = {_part(problem) for problem in old.problems}
    for problem in new.problems:
        if _part(problem) not in known:
            raise ModelFolderError(problem)


def _part(problem: str) -> str:
    """ "tft" of "tft: runs/demo/models/tft is damaged."."""
    return problem.partition(":")[0]


def _refuse_links_out(folder: Path) -> None:
    for path in _entries(folder):
        if path.is_symlink() and not path.resolve().is_relative_to(folder):
            raise ModelFolderError(
                f"{path.relative_to(folder)} is a link out of the model folder: put the file itself there."
            )


def _entries(folder: Path) -> Iterable[Path]:
    """Everything in a folder; links are named, not followed."""
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _entries(path)


def _unknown(message: str) -> ServiceError:
    return ServiceError(status=404, code="unknown_model", message=message)
