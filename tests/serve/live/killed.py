"""A program that runs a live session and kills itself with SIGKILL at a chosen moment; see test_kill.py.

    python killed.py FOLDER BARS MOMENT NUMBER

MOMENT is one of those in `MOMENTS`, or "never"; it is the NUMBER-th time that counts. The venue's clock is
kept in a file, so that the next process goes on at the same time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from quantum_trader.serve.desk import Desk
from quantum_trader.serve.live.book import PaperBook
from tests.serve.live.support import Venue, live, series

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
START_BAR = 400
MOMENTS: dict[str, tuple[type, str, bool]] = {
    "after the journal has the warm-up": (Desk, "restore", False),
    "before the decision": (Desk, "decide", False),
    "after the journal's commit": (Desk, "decide", True),
    "after the book's commit": (PaperBook, "save", True),
}


def die_at(moment: str, number: int) -> None:
    """Kill this process the `number`-th time that the moment comes."""
    kind, name, afterwards = MOMENTS[moment]
    usual: Callable[..., Any] = getattr(kind, name)
    calls = [0]

    def deadly(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number and not afterwards:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = usual(*given, **named)
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(kind, name, deadly)


def main(folder: Path, bars: int, moment: str, number: int) -> None:
    """Decide on bars until `bars` are in the journal, counted from the first start."""
    known = series(SYMBOLS)
    venue = Venue(known, START_BAR)
    clock = folder / "clock"
    if clock.is_file():
        venue.clock_ms = float(clock.read_text())
    written = [0.0]
    end_ms = float(known["BTCUSDT"].timestamp[START_BAR + bars] + 600_000)

    def sleep(seconds: float) -> None:
        Venue.sleep(venue, seconds)
        if venue.clock_ms > written[0] + 120_000:
            written[0] = venue.clock_ms
            clock.with_suffix(".new").write_text(repr(venue.clock_ms))
            clock.with_suffix(".new").replace(clock)

    venue.sleep = sleep  # type: ignore[method-assign]
    if moment != "never":
        die_at(moment, number)
    live(folder, venue, bars=0, stopped=lambda: venue.clock_ms > end_ms, lines=Printed())


class Printed(list[str]):
    """Lines that are printed as they come."""

    def append(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
