"""One peer in a process of its own: `python -m peers.worker NAME TASK.npz PACKAGE`.

It starts in the folder benchmarks. PACKAGE has `registry.PEERS` and `task.Task`; the adapter of a peer has
`build(task, case)`, where a case is a number or a word that the package gives a meaning to.

Says {"versions": ...}, or {"missing": ...} where the peer cannot be imported. After that each line
{"case": C, "seconds": S, "at_least": steps, "wall": false} on standard input is a round, answered by one line
{"rate": steps per second}; and {"facts": true} is answered by {"facts": ...}, the adapter's `facts(task)`.
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

from peers.clock import speed


def main(name: str, path: str, package: str) -> None:
    """Answer until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    peer = importlib.import_module(f"{package}.registry").PEERS[name]
    try:
        adapter = importlib.import_module(peer.module)
    except ImportError as error:
        say({"missing": str(error)})
        return
    versions = {distribution: version(distribution) for distribution in peer.distributions}
    say({"versions": {"python": platform.python_version(), **versions}})
    task = importlib.import_module(f"{package}.task").Task.load(Path(path))
    built: dict[int | str, Callable[[], int]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("facts"):
            say({"facts": adapter.facts(task)})
            continue
        case = request["case"]
        if case not in built:
            built[case] = adapter.build(task, case)
        say({"rate": speed(built[case], request["seconds"], request["at_least"], wall=request["wall"])})


if __name__ == "__main__":
    main(*sys.argv[1:])
