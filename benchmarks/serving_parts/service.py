"""`quantum-trader serve` as a process of its own, as an operator would start it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

READY_S = 120.0
_ENDS_S = 60.0
_COMMAND = "from quantum_trader.serve.cli import main; raise SystemExit(main())"


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the service listens, and its process."""

    host: str
    port: int
    pid: int


@contextmanager
def service(models: Path, journal: Path) -> Iterator[Address]:
    """The service on a free port of loopback with a journal; without a rate limit, which is not measured."""
    options = ("--port", "0", "--journal", str(journal), "--rate-limit", "0", "--log-level", "warning")
    command = [sys.executable, "-u", "-c", _COMMAND, "serve", str(models), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "http://" not in line:
                raise SystemExit(f"The service did not start: it said {line!r}; its errors stand above.")
            url = urlsplit(line[line.index("http://") :].strip())
            address = Address(host=url.hostname or "127.0.0.1", port=url.port or 0, pid=process.pid)
            _wait_until_ready(address, process)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(_ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(address: Address, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(address):
            return
        time.sleep(0.2)
    raise SystemExit(f"The service was not ready within {READY_S:g} s, or ended: its errors stand above.")


def _ready(address: Address) -> bool:
    connection = HTTPConnection(address.host, address.port, timeout=10)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
