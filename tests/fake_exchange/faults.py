"""What can go wrong between a program and a venue, to be scheduled on a `FakeExchange`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "status", "truncated", "cut", "disconnect", "html", "empty", "partial", "foreign", "slow", "corrupt"
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to answer wrongly.

    `status` answers with an HTTP error; `truncated` ends the JSON early in an otherwise whole answer; `cut`
    announces more bytes than it sends; `disconnect` closes without an answer; `html` is a maintenance page
    with status 200; `empty` is a list without rows; `partial` keeps the first third of the rows; `foreign`
    answers for another symbol; `slow` waits; `corrupt` changes one byte of a zip file after its checksum.
    """

    kind: Kind
    status: int = 200
    retry_after_s: float | None = None
    """Sent as the Retry-After header with a `status` fault."""
    delay_s: float = 0.0
    """How long a `slow` answer takes."""
    body: str = ""
    """What a `status` fault sends in place of the usual text."""


def status(code: int, retry_after_s: float | None = None) -> Fault:
    """An HTTP error: 500, 502, 503, 429 (slow down), 418 (banned), 451 (place not served)."""
    return Fault(kind="status", status=code, retry_after_s=retry_after_s)


TRUNCATED = Fault(kind="truncated")
CUT = Fault(kind="cut")
DISCONNECT = Fault(kind="disconnect")
HTML = Fault(kind="html")
EMPTY = Fault(kind="empty")
PARTIAL = Fault(kind="partial")
FOREIGN = Fault(kind="foreign")
CORRUPT = Fault(kind="corrupt")


def slow(delay_s: float) -> Fault:
    """A right answer that takes `delay_s` seconds."""
    return Fault(kind="slow", delay_s=delay_s)
