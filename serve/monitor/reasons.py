"""Reading the words of decisions: what kind of reason, whether a bar was refused, whether inputs drifted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

NOBODY_ASKED = ("insufficient history", "gap in the data", "late bar")
"""How reasons begin with which a bar that was taken in is answered HOLD without asking a model. (Bars that
were not taken in are marked as refused.)"""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
_STRANGE = re.compile(r"drift|out of distribution", re.IGNORECASE)
_FAILED = re.compile(r"not available|failed|took longer|answered NaN|resting", re.IGNORECASE)


def reason_kind(reason: str) -> str:
    """A reason without its figures, so that equal kinds can be counted.

    >>> reason_kind("quiet market expected (P(HOLD) 0.46)")
    'quiet market expected'
    >>> reason_kind("TFT took longer than 250 ms: confidence 0.531 below 0.540")
    'TFT took longer than N ms: confidence N below N'
    """
    parts = (text for text, inside in _by_bracket(reason) if not (inside and _NUMBER.search(text)))
    kind = _NUMBER.sub("N", "".join(parts))
    return " ".join(kind.split()) or "none given"


def is_left_out(source: str, reason: str) -> bool:
    """Whether nobody was asked, for want of history or because the bar came late."""
    return source == "none" and reason.startswith(NOBODY_ASKED)


def names_drift(warnings: Iterable[str], reason: str) -> bool:
    """Whether a decision says that its inputs are unlike the training data."""
    return any(_STRANGE.search(text) for text in (*warnings, reason))


def names_failure(reason: str) -> bool:
    """Whether a reason says that a model was missing, failed or was too slow."""
    return _FAILED.search(reason) is not None


def members(source: str) -> int:
    """How many members took part in a decision of this source."""
    return 0 if source in ("", "none") else source.count("+") + 1


def _by_bracket(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a whole outermost bracket."""
    depth = begin = 0
    for place, letter in enumerate(text):
        if letter == "(":
            if depth == 0:
                yield text[begin:place], False
                begin = place
            depth += 1
        elif letter == ")" and depth > 0:
            depth -= 1
            if depth == 0:
                yield text[begin : place + 1], True
                begin = place + 1
    yield text[begin:], False
