"""What an HTTP answer that is no data means: how long to wait, and what to tell the user."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

PLACE = (403, 451)
"""HTTP statuses by which venues turn a country or an address away."""

_MEANINGS = {
    418: "banned for too many requests",
    429: "too many requests",
    503: "maintenance or overload",
}
_BANNED = re.compile(r"banned until (\d{13})")
_LONGEST_BAN_S = 3 * 86_400.0
_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def wait_of(
    header: Callable[[str], str | None], said: str = "", *, wall: Callable[[], float] = time.time
) -> float | None:
    """Seconds that an answer asks to wait; None where it says nothing.

    Args:
        header: a header of the answer by its name: Retry-After is seconds or a date, which is compared with
            the answer's own, since this machine's clock may be wrong.
        said: the answer's text: Binance tells the end of a ban there.
        wall: this machine's clock, for answers without a date.
    """
    asked = header("Retry-After") or ""
    try:
        seconds = float(asked)
    except ValueError:
        now_s = _moment(header("Date") or "") or wall()
        ban = _BANNED.search(said)
        until = int(ban.group(1)) / 1000.0 if ban else _moment(asked)
        if until is None or not 0.0 <= until - now_s <= _LONGEST_BAN_S:
            return None
        return until - now_s
    return max(seconds, 0.0) if seconds < float("inf") else None


def meaning(status: int, kind: str) -> str:
    """A status in a few words; `kind` is the library's name for it."""
    return f"{_MEANINGS.get(status, kind)}, HTTP {status}"


def turned_away(venue: str, what: str, status: int) -> str:
    """The sentence for a status of `PLACE`."""
    reason = "not served to this place" if status == 451 else "this address or country is turned away"
    return (
        f"{venue} refuses {what} (HTTP {status}: {reason}); choose another exchange, "
        "or run this where the exchange may be used."
    )


def plain_words(text: str) -> str:
    """A message without the tags of a page of HTML, at most 300 characters."""
    return " ".join(_TAGS.sub(" ", text).split())[:300]


def _moment(date: str) -> float | None:
    """Seconds since the epoch of an HTTP date; None for anything else."""
    try:
        found = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
