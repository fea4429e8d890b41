"""What the service's tests share: an Arbiter of fakes, a service in this process, and one in another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
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
from quantum_trader.serve.desk_config import DeskConfig
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
SOON_S = 300.0
"""Seconds to wait for what comes at once on a machine that is not busy: on one that is, it may take long."""
UNHURRIED = {
    "head_timeout_s": SOON_S,
    "body_timeout_s": SOON_S,
    "answer_timeout_s": SOON_S,
    "shutdown_s": SOON_S,
    "keep_alive_s": round(SOON_S),
    "rate_limit": 0.0,
}
"""Limits that neither a slow nor a fast machine meets; a test of a limit sets that one."""
PLAIN = ssl.create_default_context()
"""Made once: httpx else makes one for every request, which takes longer than the request."""


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
    # A disk that others use may take seconds for one commit.
    config = DeskConfig(commit_wait_s=SOON_S)
    desk = Desk(arbiter or fake_arbiter(), Journal(journal) if journal else None, config=config)
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


def unhurried(**options: Any) -> ServiceConfig:
    """Limits that time alone does not reach, but for `options`."""
    return ServiceConfig(**{**UNHURRIED, **options})


def service(*symbols: str, keys: Iterable[str] = (), **options: Any) -> FastAPI:
    """A service of fakes without a journal."""
    return create_app(warm_desk(*symbols), unhurried(**options), keys=keys)


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
            assert self.go_on.wait(SOON_S)
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
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self.own_process is not None
        return self.own_process

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A connection to write to by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SOON_S)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request on a connection of its own."""
        return httpx.get(f"{self.url}{path}", timeout=SOON_S, verify=PLAIN, **options)

    def post(self, path: str, plain: Any) -> httpx.Response:
        """The same with a body of JSON."""
        return httpx.post(f"{self.url}{path}", json=plain, timeout=SOON_S, verify=PLAIN)

    def wait(self) -> int:
        """The exit code of the process, once it has ended."""
        return self.process.wait(SOON_S)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The server meets all that happens inside at once, as if no time had passed between."""
        assert self.loop is not None
        standing, go_on = threading.Event(), threading.Event()

        def stand() -> None:
            standing.set()
            go_on.wait(SOON_S)

        self.loop.call_soon_threadsafe(stand)
        assert standing.wait(SOON_S)
        try:
            yield
        finally:
            go_on.set()

    def log(self) -> str:
        assert self.stderr is not None
        return self.stderr.read_text()


class HereServer(Server):
    """The real server, which tells its event loop."""

    def __init__(self, app: FastAPI, config: ServiceConfig) -> None:
        super().__init__(app, config)
        self.told: Future[asyncio.AbstractEventLoop] = Future()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self.told.set_result(asyncio.get_running_loop())
        await super().serve(sockets)


@contextmanager
def serving_here(app: FastAPI, *, port: int = 0, **options: Any) -> Iterator[Served]:
    """An application behind a real socket, in a thread of this process."""
    config = unhurried(port=port, **options)
    listener = listen(config.host, port, backlog=config.max_connections)
    server = HereServer(app, config)
    thread = threading.Thread(target=server.serve_on, args=(listener,))
    thread.start()
    try:
        loop = server.told.result(SOON_S)
        yield Served(None, f"http://127.0.0.1:{listener.getsockname()[1]}", None, loop)
    finally:
        server.stop()
        thread.join(SOON_S)
        assert not thread.is_alive()


@contextmanager
def own_port() -> Iterator[int]:
    """A port that a server of ours may take, leave and take again, and that nobody else gets meanwhile."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))  # bound without listening: connecting is refused
        yield int(keeper.getsockname()[1])


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
            wait_until(lambda: found.get("/ready").status_code == 200, process)
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(SOON_S)


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Ask until it is so; a process that ends meanwhile is a failure."""
    pause = threading.Event()
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        try:
            if reached():
                return
        except httpx.TransportError:
            pass
        assert process is None or process.poll() is None, "the process has ended"
        pause.wait(0.05)
    raise AssertionError("it never came to be")
