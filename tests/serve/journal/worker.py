"""A process that writes to or reads from a journal until it is stopped or killed; run by test_processes.py.

    worker.py write JOURNAL NAME   writes decisions from three threads; one line for each acknowledged one
    worker.py read JOURNAL         reads all there is, again and again; one line with the count each time

It ends when its standard input is closed.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.records import Entry

HOUR = 3_600_000


def made(symbol: str, step: int) -> Entry:
    return Entry(
        symbol=symbol,
        bar_ms=step * HOUR,
        decided_ms=step,
        action=Action(step % 3),
        confidence=0.6,
        probabilities=(0.2, 0.5, 0.3),
        source="tft",
        reason=f"{symbol} {step}",
        model_hash="m",
        latency_ms=float(step),
    )


def tell(line: str) -> None:
    """Unbuffered: what was told before a kill has been told."""
    os.write(1, f"{line}\n".encode())


def write(path: Path, name: str, stop: threading.Event) -> None:
    def work(thread: int) -> None:
        symbol, step = f"{name}-{thread}", 0
        while not stop.is_set():
            bar = Bar(timestamp=step * HOUR, open=1.0, high=1.0, low=1.0, close=1.0, volume=float(step))
            journal.record([made(symbol, step)], {symbol: [bar]}).result(120)
            tell(f"{symbol} {step}")
            step += 1

    with Journal(path) as journal:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def read(path: Path, stop: threading.Event) -> None:
    with JournalReader(path) as reader:
        while not stop.is_set():
            rows = reader.rows()
            assert reader.state().decisions >= len(rows)
            tell(str(len(rows)))


if __name__ == "__main__":
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    tell("ready")
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), sys.argv[3], ended)
    else:
        read(Path(sys.argv[2]), ended)
