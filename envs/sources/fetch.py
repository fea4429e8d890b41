"""Fetch one symbol's history into a file: whole or not at all, and again from where it was cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import read_bars, write_bars
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.sources.assemble import Rows, assemble, unknown_parts
from quantum_trader.envs.sources.chunks import WIDTH, Chunk, ChunkFolder, Kind, SymbolSource
from quantum_trader.envs.sources.merge import merge
from quantum_trader.envs.sources.workers import each_result
from quantum_trader.envs.windows import GapReport, gap_report

OnProgress = Callable[[int, int], None]
"""Called with the pieces done and the pieces in all."""

_DAY_MS = 86_400_000
_KINDS: tuple[Kind, ...] = ("bars", "mark", "funding")


@dataclass(frozen=True, kw_only=True)
class FetchRequest:
    """What is wanted of a symbol."""

    step_ms: int
    """Length of a bar."""
    start_ms: int | None = None
    """First open wanted, milliseconds since the epoch, UTC; None: the file's first, or the listing."""
    end_ms: int | None = None
    """First open not wanted; None: up to the newest closed bar."""
    check: bool = False
    """Also ask for bars that the file has, report those that differ, and fill gaps."""


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What became of it."""

    path: Path
    bars: Bars
    """All bars of the file."""
    added: int
    gaps: GapReport
    differing: tuple[str, ...]
    """Bars of the file that the source gives differently now; the file keeps its own."""
    notes: tuple[str, ...]
    """What else the user should know."""


def fetch_symbol(
    source: SymbolSource, request: FetchRequest, folder: Path, *, on_progress: OnProgress | None = None
) -> FetchReport:
    """Bring `folder`/NAME.parquet up to date.

    Pieces that were received are kept in the hidden folder `.NAME.fetch` until the file is written; a fetch
    that was cut off, by whatever, asks only for the missing pieces when it is started again.

    Args:
        source: one symbol at an exchange or in the archive.
        request: what is wanted.
        folder: where the file is, or will be.
        on_progress: called from this thread.

    Raises:
        SourceError: the source does not answer or refuses.
        DataError: the file cannot be read or has bars of another length, or the source has no bars there.
    """
    path = folder / f"{source.name}.parquet"
    existing = _existing(path, request.step_ms)
    work = ChunkFolder(folder / f".{source.name}.fetch", source.identity)
    limit_ms, limit_note = source.end_ms()
    stretches = _stretches(existing, request, source, limit_ms)
    chunks = [
        piece for kind in _KINDS for start, end in stretches for piece in source.chunks(kind, start, end)
    ]
    pieces = _read_all(source, chunks, work, on_progress or (lambda done, total: None))
    received = assemble(_rows(chunks, pieces), request.step_ms)
    if existing is None and len(received.frame) < 2:
        work.remove()
        raise DataError(_nothing(source, len(received.frame), limit_note))
    merged = merge(existing, received.frame, symbol=source.name, source=source.label)
    if merged.added:
        write_bars(merged.bars, path)
    work.remove()
    kinds = {chunk.kind for chunk in chunks}
    unknown = unknown_parts(received.frame, funding="funding" in kinds, mark="mark" in kinds)
    notes = [*received.notes, *unknown]
    if existing is None and request.start_ms is not None:
        notes += _late_start(received.frame, request.start_ms, request.step_ms)
    if limit_note and _reaches(merged.bars, request, limit_ms):
        notes.append(limit_note)
    return FetchReport(
        path=path,
        bars=merged.bars,
        added=merged.added,
        gaps=gap_report(merged.bars, guess_preset(source.name)),
        differing=merged.differing,
        notes=tuple(notes),
    )


def _existing(path: Path, step_ms: int) -> Bars | None:
    """Bars of the file, None if there is none."""
    if not path.exists():
        return None
    bars = read_bars(path)
    if bars.step_ms != step_ms:
        wanted, found = (pd.Timedelta(length, unit="ms") for length in (step_ms, bars.step_ms))
        raise DataError(
            f"{path}: expected bars of {wanted}, found {found}; keep each timeframe in a folder of its own."
        )
    return bars


def _stretches(
    existing: Bars | None, request: FetchRequest, source: SymbolSource, limit_ms: int
) -> list[tuple[int, int]]:
    """Stretches [start, end) to ask for."""
    end = limit_ms if request.end_ms is None else min(request.end_ms, limit_ms)
    if existing is None:
        return _unless_empty([(_first_wanted(request.start_ms, source), end)])
    first, after = int(existing.timestamp[0]), int(existing.timestamp[-1]) + existing.step_ms
    start = first
    if request.start_ms is not None and request.start_ms < first:
        start = _first_wanted(request.start_ms, source)
    # Never a hole between the file and what is added to it, whatever was asked for.
    return _unless_empty([(start, end)] if request.check else [(start, first), (after, end)])


def _unless_empty(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(start, end) for start, end in stretches if start < end]


def _first_wanted(start_ms: int | None, source: SymbolSource) -> int:
    """The start, or the beginning of the history where that is later."""
    known = [moment for moment in (start_ms, source.first_ms()) if moment is not None]
    if not known:
        raise DataError(f"{source.label} does not say when {source.name} was listed; give --start.")
    return max(known)


def _read_all(
    source: SymbolSource, chunks: list[Chunk], work: ChunkFolder, on_progress: OnProgress
) -> dict[Chunk, Floats]:
    """Rows of every piece; each is saved as soon as it is there."""
    pieces = {chunk: rows for chunk in chunks if (rows := work.load(chunk)) is not None}
    on_progress(len(pieces), len(chunks))

    def read(chunk: Chunk) -> Floats:
        rows = source.read(chunk, work.path)
        work.save(chunk, rows)
        return rows

    missing = [chunk for chunk in chunks if chunk not in pieces]
    if missing:
        work.prepare()
    for chunk, rows in each_result(read, missing, workers=source.workers):
        pieces[chunk] = rows
        on_progress(len(pieces), len(chunks))
    return pieces


def _rows(chunks: list[Chunk], pieces: dict[Chunk, Floats]) -> Rows:
    """The pieces put together, each time once."""
    joined: dict[Kind, Floats] = {}
    for kind in _KINDS:
        parts = [pieces[chunk] for chunk in chunks if chunk.kind == kind]
        rows = np.concatenate([np.empty((0, WIDTH[kind])), *parts])
        _, first = np.unique(rows[:, 0], return_index=True)
        joined[kind] = rows[first]
    return Rows(bars=joined["bars"], mark=joined["mark"], funding=joined["funding"])


def _reaches(bars: Bars, request: FetchRequest, limit_ms: int) -> bool:
    """Whether there would be more bars but for the limit, as far as one can tell."""
    wanted = request.end_ms is None or request.end_ms > limit_ms
    return wanted and int(bars.timestamp[-1]) >= limit_ms - max(_DAY_MS, bars.step_ms)


def _late_start(received: pd.DataFrame, asked_ms: int, step_ms: int) -> list[str]:
    """A note where the history begins later than it was asked to."""
    asked, first = pd.Timestamp(asked_ms, unit="ms", tz="UTC"), received["timestamp"].iloc[0]
    if first - asked < pd.Timedelta(step_ms, unit="ms"):
        return []
    return [f"the history begins on {first:%Y-%m-%d %H:%M} UTC, not on {asked:%Y-%m-%d}"]


def _nothing(source: SymbolSource, found: int, note: str) -> str:
    return (
        f"{source.label} has {found or 'no'} closed bar{'' if found == 1 else 's'} of {source.name} in that "
        f"time, expected 2 at least{f' ({note})' if note else ''}; check the symbol and the dates."
    )
