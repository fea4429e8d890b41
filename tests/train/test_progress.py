"""Progress in plain lines and on a terminal."""

from __future__ import annotations

import io

from quantum_trader.train.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_are_rare_and_complete() -> None:
    """Off a terminal a line comes once per interval, and a last one at the end."""
    stream, now = io.StringIO(), [0.0]
    with Progress(
        "fit", total=1_000, unit="rows", stream=stream, every=10.0, clock=lambda: now[0]
    ) as progress:
        for done in range(100, 401, 100):
            now[0] = done / 20
            progress.update(done, {"loss": 0.123456})
    assert stream.getvalue().splitlines() == [
        "fit: 200/1,000 rows, 20/s, 0:40 left, loss 0.1235",
        "fit: 400/1,000 rows, 20/s, 0:30 left, loss 0.1235",
    ]


def test_resumed_work_counts_its_own_speed() -> None:
    """Units done before the start raise the share but not the speed."""
    now = [0.0]
    progress = Progress("fit", total=100, unit="rows", start=50, stream=io.StringIO(), clock=lambda: now[0])
    now[0] = 5.0
    progress.update(60)
    assert progress.rate == 2.0


def test_terminal_gets_a_bar() -> None:
    """On a terminal a bar is drawn instead of lines, and wiped at the end."""
    stream = _Terminal()
    with Progress("fit", total=10, unit="rows", stream=stream) as progress:
        progress.update(10, {"loss": 0.5})
    assert "0/10" in stream.getvalue()
    assert "\n" not in stream.getvalue()
