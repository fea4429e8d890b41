"""One peer in a process of its own: `python -m peers.worker NAME TASK.npz`, from the folder benchmarks.

Says {"versions": ...}, or {"missing": ...} where the peer cannot be imported. After that each line
{"accounts": N, "seconds": S, "at_least": steps} on standard input is a round, answered by one line
{"rate": steps per second}.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers.registry import PEERS
from peers.rounds import rate
from peers.task import Task


def main(name: str, path: str) -> None:
    """Answer until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    peer = PEERS[name]
    try:
        build = importlib.import_module(peer.module).build
    except ImportError as error:
        say({"missing": str(error)})
        return
    versions = {distribution: version(distribution) for distribution in peer.distributions}
    say({"versions": {"python": platform.python_version(), **versions}})
    task = Task.load(Path(path))
    built: dict[int, Callable[[], int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        accounts = request["accounts"]
        if accounts not in built:
            built[accounts] = build(task, accounts)
        say({"rate": rate(built[accounts], request["seconds"], request["at_least"])})


if __name__ == "__main__":
    main(*sys.argv[1:])
