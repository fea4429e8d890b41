"""Were symbols that are no longer traded judged while they were?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from quantum_trader.evaluate.records import CheckResult

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Life:
    """From when to when a symbol has bars; milliseconds since the epoch, UTC."""

    first: int
    """Open of its first bar."""
    last: int
    """Open of its last bar."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The test of one fold, first moment included, last excluded; milliseconds since the epoch, UTC."""

    start: int
    """Open of the first decision bar that belongs to it."""
    end: int
    """Moment at which it is over."""


def survivorship(
    lives: Mapping[str, Life],
    folds: Sequence[Stretch],
    judged: Sequence[Collection[str]],
    *,
    history_ms: int = 0,
    ahead_ms: int = 0,
) -> CheckResult:
    """Whether each fold judges every symbol that was traded when it began, ended ones among them.

    A symbol is due in a fold if it had `history_ms` of bars before the fold began and goes on for longer than
    `ahead_ms` after; later listings may be judged but need not.

    Args:
        lives: first and last bar of every symbol of the universe.
        folds: F tests.
        judged: F collections, the symbols judged in each.
        history_ms: bars that features need before the first decision.
        ahead_ms: bars that a label needs after it.

    Returns:
        Not asked (None) where no symbol ends before the last fold does: survivors alone cannot tell whether
        others were left out.
    """
    faults, due_after_all = [], 0
    for number, (fold, names) in enumerate(zip(folds, judged, strict=True)):
        due = {name for name, life in lives.items() if _due(life, fold, history_ms, ahead_ms)}
        due_after_all += len(due)
        missing = sorted(due - set(names))
        strangers = sorted(name for name in names if name not in lives or not _alive(lives[name], fold))
        if missing:
            faults.append(f"fold {number} leaves out {_some(missing)}, which was traded when it began")
        if strangers:
            faults.append(f"fold {number} judges {_some(strangers)}, which has no bars in it")
    finish = max((fold.end for fold in folds), default=0)
    newest = max((life.last for life in lives.values()), default=0)
    ended = sorted(name for name, life in lives.items() if life.last < min(finish - 1, newest))
    return CheckResult(
        name="survivorship",
        question="Are symbols that ended during the period judged in the folds they lived through?",
        passed=False if faults else (True if ended else None),
        detail=_detail(faults, ended, len(lives), due_after_all),
    )


def _due(life: Life, fold: Stretch, history_ms: int, ahead_ms: int) -> bool:
    return life.first + history_ms <= fold.start and fold.start + ahead_ms < life.last


def _alive(life: Life, fold: Stretch) -> bool:
    return life.first < fold.end and life.last >= fold.start


def _detail(faults: Sequence[str], ended: Sequence[str], symbols: int, due: int) -> str:
    if faults:
        return "; ".join(faults) + "."
    if ended:
        return f"{due} places in folds were due and taken; {_some(ended)} ended on the way."
    return (
        f"All {symbols} symbols last to the end: whether others ended before and were left out, "
        "these data cannot tell."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
