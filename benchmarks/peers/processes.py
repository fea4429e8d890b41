"""Worker processes seen from the side that asks them."""

from __future__ import annotations

import importlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

_FOLDER = Path(__file__).parents[1]


class WorkerError(RuntimeError):
    """A worker could not be started, or ended without an answer."""


class Worker:
    """A running `peers.worker`.

    Args:
        python: the interpreter to run it.
        name: the peer's, as in `PEERS` of the package's registry.
        task: a file that the package's `Task` reads.
        package: the package of the peers.

    Attributes:
        name: the peer's.
        versions: of Python and of what the peer stands on; empty if it is missing.
        missing: why the peer cannot be imported there, or "".
    """

    def __init__(self, python: Path, name: str, task: Path, package: str = "peers") -> None:
        self.name = name
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (close() closes it)
        try:
            self._process = subprocess.Popen(
                [python.absolute(), "-m", "peers.worker", name, task.absolute(), package],
                cwd=_FOLDER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            self._errors.close()
            raise WorkerError(
                f"Expected a Python interpreter, but {python} cannot be started ({error.strerror}): "
                "give the bin/python of a virtual environment."
            ) from error
        try:
            answer = self._answer()
        except BaseException:
            self.close()
            raise
        self.versions: dict[str, str] = answer.get("versions", {})
        self.missing: str = answer.get("missing", "")

    def round(self, case: int | str, seconds: float, at_least: int = 0, *, wall: bool = False) -> float:
        """Steps per second over a round of a case; the other arguments are those of `peers.clock.speed`."""
        return float(self._ask(case=case, seconds=seconds, at_least=at_least, wall=wall)["rate"])

    def facts(self) -> dict[str, Any]:
        """What the adapter's `facts` has to say of its peer."""
        return dict(self._ask(facts=True)["facts"])

    def close(self) -> None:
        """Let the process end, and wait for it."""
        self._process.communicate()
        self._errors.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip()[-2000:]
            raise WorkerError(f"The worker of {self.name} stopped without an answer. It said:\n{said}")
        return dict(json.loads(line))


@contextmanager
def workers(
    pythons: Sequence[Path], task: Path, package: str = "peers"
) -> Iterator[tuple[dict[str, Worker], dict[str, str]]]:
    """A worker for each peer of a package, under the first interpreter that can import it.

    Yields:
        Running workers by name; and for the other peers why no interpreter could import them.
    """
    running: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for name in importlib.import_module(f"{package}.registry").PEERS:
            for python in pythons:
                worker = Worker(python, name, task, package)
                stack.callback(worker.close)
                if not worker.missing:
                    running[name] = worker
                    missing.pop(name, None)
                    break
                missing.setdefault(name, worker.missing)
        yield running, missing
