"""Work that survives being cut off: every piece received lies in a file until the whole is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.files import atomic_file, write_json

Kind = Literal["bars", "mark", "funding"]
WIDTH: dict[Kind, int] = {"bars": 6, "mark": 5, "funding": 2}
"""Columns of the rows of each kind, see `assemble.Rows`."""

_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A piece of work: the rows of one kind in [start_ms, end_ms)."""

    kind: Kind
    start_ms: int
    end_ms: int

    @property
    def file(self) -> str:
        """Name of its file; the same piece has the same name in every run."""
        return f"{self.kind}-{self.start_ms}-{self.end_ms}.npy"


class SymbolSource(Protocol):
    """One symbol at one place that has its history."""

    @property
    def name(self) -> str:
        """What the symbol is called here; its file's name without the ending."""
        ...

    @property
    def label(self) -> str:
        """What the place is called in messages."""
        ...

    @property
    def identity(self) -> dict[str, str]:
        """Tells this source from others: pieces of different sources are never mixed."""
        ...

    @property
    def workers(self) -> int:
        """Pieces that may be read at once."""
        ...

    def first_ms(self) -> int | None:
        """When the history begins, None where the place does not say."""
        ...

    def end_ms(self) -> tuple[int, str]:
        """Bars that open before this moment may be had; and a note for the user, empty if there is none."""
        ...

    def chunks(self, kind: Kind, start_ms: int, end_ms: int) -> list[Chunk]:
        """[start_ms, end_ms) in pieces; none where the place has no such rows."""
        ...

    def read(self, chunk: Chunk, folder: Path) -> Floats:
        """float64 [n, WIDTH[kind]] of closed bars, times in [chunk.start_ms, chunk.end_ms), ascending.

        Args:
            chunk: the piece.
            folder: where the source may keep what it needs again if it is cut off.
        """
        ...


class ChunkFolder:
    """The pieces of one symbol, in a hidden folder beside the file that will be written.

    Args:
        path: the folder, made by `prepare`.
        identity: of the source; pieces of another are thrown away.
    """

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
        self.path = path
        self._identity = identity
        if path.exists() and _plan(path) != identity:
            shutil.rmtree(path, ignore_errors=True)

    def prepare(self) -> None:
        """Make the folder; pieces may be saved from now on."""
        write_json(self.path / _PLAN, self._identity)

    def load(self, chunk: Chunk) -> Floats | None:
        """The piece's rows, None if it was not saved or its file is damaged."""
        try:
            rows = np.load(self.path / chunk.file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        fits = rows.dtype == np.float64 and rows.ndim == 2 and rows.shape[1] == WIDTH[chunk.kind]
        return rows if fits else None

    def save(self, chunk: Chunk, rows: Floats) -> None:
        """Keep the piece, whole or not at all."""
        with atomic_file(self.path / chunk.file) as temporary, temporary.open("wb") as file:
            np.save(file, rows)

    def remove(self) -> None:
        """Forget every piece: the whole has been written."""
        shutil.rmtree(self.path, ignore_errors=True)


def _plan(path: Path) -> dict[str, str] | None:
    try:
        plan: dict[str, str] = json.loads((path / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return plan
