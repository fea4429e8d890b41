"""How commands talk: one line at a time, at once visible in a pipe or log."""

from __future__ import annotations


def say(line: str) -> None:
    """Print one line."""
    print(line, flush=True)
