"""What so many processes reach that share nothing but the machine: loops of whole-number arithmetic."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Loops:
    """Loops of all processes together, a second."""

    wall: float
    """By the clock on the wall."""
    processor: float
    """By each process's own processor time: as if it had never waited for a busy core."""


def loops(processes: int, seconds: float) -> Loops:
    """Let the processes run side by side for so many seconds."""
    command = [sys.executable, str(Path(__file__)), str(seconds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in running:  # all are up before any begins
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in running]
    return Loops(wall=sum(float(each[0]) for each in said), processor=sum(float(each[1]) for each in said))


def _count(seconds: float) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    done, value = 0, 1
    begun, used = time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - begun) < seconds:
        for _ in range(10_000):
            value = (value * 1_103_515_245 + 12_345) % 2_147_483_648
        done += 10_000
    print(done / elapsed, done / (time.process_time() - used))


if __name__ == "__main__":
    _count(float(sys.argv[1]))
