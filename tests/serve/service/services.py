"""What the service's tests share: an Arbiter of fakes, a service in this process, and one in another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings
from quantum_trader.envs.bars import Bar
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.service.app import create_app
from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.models import ModelFolders
from quantum_trader.serve.service.server import Server, listen

from ...agents.fakes import FakeAgent, FakePPO, FakeTFT

HOUR = 3_600_000
START = 1_735_689_600_000
KEY = "a-key-of-twenty-five-chars"
WARM = 61


def fake_arbiter(
    model_hash: str = "fake", *, tft: Any = None, problems: Iterable[str] = (), **options: Any
) -> Arbiter:
    """An Arbiter that says BUY."""
    return Arbiter(
        tft=tft or FakeTFT((0.1, 0.7, 0.2)),
        ppo=FakePPO((0.1, 0.7, 0.2)),  # type: ignore[arg-type]
        fallback=FakeAgent((0.1, 0.7, 0.2)),  # type: ignore[arg-type]
        settings=ArbiterSettings(latency_budget_ms=0.0),
        scaler=REFERENCE_SCALER,
        problems=problems,
        model_hash=model_hash,
        **options,
    )


def bar_json(step: int, **changes: Any) -> dict[str, Any]:
    """Bar number `step` of a quiet series whose closes name the step."""
    close = 100.0 + step / 1000
    plain = {
        "timestamp": START + step * HOUR,
        "open": close,
        "high": close * 1.001,
        "low": close * 0.999,
        "close": close,
        "volume": 10.0 + step % 7,
    }
    return {**plain, **changes}


def past(count: int = WARM, *, start: int = 0) -> list[Bar]:
    """Bars `start` to `start + count`."""
    return [Bar(**bar_json(step)) for step in range(start, start + count)]


def warm_desk(*symbols: str, journal: Path | None = None, arbiter: Arbiter | None = None) -> Desk:
    """A desk whose symbols have a full window; their next bar is number `WARM`."""
    desk = Desk(arbiter or fake_arbiter(), Journal(journal) if journal else None)
    if symbols:
        desk.warmup({symbol: past() for symbol in symbols})
    return desk


@asynccontextmanager
async def asking(
    app: FastAPI, *, host: str = "127.0.0.1:8000", headers: dict[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, between its start and its shutdown."""
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50_000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers) as client,
    ):
        yield client


def ask(
    app: FastAPI, method: str, path: str, *, host: str = "127.0.0.1:8000", **options: Any
) -> httpx.Response:
    """One request to an application in this process."""

    async def once() -> httpx.Response:
        async with asking(app, host=host) as client:
            return await client.request(method, path, **options)

    return asyncio.run(once())


def service(*symbols: str, keys: Iterable[str] = (), **options: Any) -> FastAPI:
    """A service of fakes without a journal."""
    return create_app(warm_desk(*symbols), ServiceConfig(**options), keys=keys)


def code_of(answer: httpx.Response) -> str:
    """The error's code; the answer must have the error schema and nothing else."""
    body = answer.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message"}, body
    message = body["error"]["message"]
    assert "Traceback" not in message
    assert 'File "' not in message
    return str(body["error"]["code"])


@dataclass
class FakeModels:
    """Model folders whose content says what they are: `arbiter.json` holds a hash."""

    first: Path
    root: Path | None = None
    entered: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    waits: bool = False

    def folders(self) -> ModelFolders:
        return ModelFolders(self.first, self.root, load=self._load, check=lambda arbiter: None)

    def _load(self, folder: Path) -> Arbiter:
        self.entered.set()
        if self.waits:
            self.go_on.wait(10)
        return fake_arbiter(json.loads((folder / "arbiter.json").read_text())["hash"])


def model_folder(path: Path, model_hash: str) -> Path:
    """A folder that `FakeModels` can load."""
    path.mkdir(parents=True)
    (path / "arbiter.json").write_text(json.dumps({"hash": model_hash}))
    return path


@dataclass(frozen=True)
class Served:
    """A service behind a socket."""

    own_process: subprocess.Popen[str] | None
    url: str
    stderr: Path | None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self.own_process is not None
        return self.own_process

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A connection to write to by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def log(self) -> str:
        assert self.stderr is not None
        return self.stderr.read_text()


@contextmanager
def serving_here(app: FastAPI, **options: Any) -> Iterator[Served]:
    """An application behind a real socket, in a thread of this process."""
    config = ServiceConfig(port=0, **options)
    listener = listen(config.host, 0, backlog=config.max_connections)
    server = Server(app, config)
    thread = threading.Thread(target=server.serve_on, args=(listener,))
    thread.start()
    try:
        yield Served(None, f"http://127.0.0.1:{listener.getsockname()[1]}", None)
    finally:
        server.stop()
        thread.join(40)
        assert not thread.is_alive()


@contextmanager
def serving(folder: Path, *options: str, ready: bool = True) -> Iterator[Served]:
    """`fake_service.py` with these options in a process of its own; killed at the end."""
    script = Path(__file__).with_name("fake_service.py")
    with started([sys.executable, str(script), *options], folder, ready=ready) as found:
        yield found


@contextmanager
def started(
    command: list[str], folder: Path, environment: dict[str, str] | None = None, *, ready: bool = True
) -> Iterator[Served]:
    """A command that says "serving ... on URL", once it is ready or, without `ready`, once it listens."""
    errors = folder / "stderr.txt"
    with errors.open("w") as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " on http" in line, (line, errors.read_text())
        found = Served(process, line.rpartition(" ")[2].strip(), errors)
        if ready:
            wait_until(lambda: httpx.get(f"{found.url}/ready").status_code == 200, process)
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(10)


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Ask until it is so; a process that ends meanwhile is a failure."""
    pause = threading.Event()
    for _ in range(1_200):
        try:
            if reached():
                return
        except httpx.TransportError:
            pass
        assert process is None or process.poll() is None, "the process has ended"
        pause.wait(0.05)
    raise AssertionError("it never came to be")
