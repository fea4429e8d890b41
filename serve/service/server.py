"""`Server`: one process that listens, serves until it is told to stop, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.protocol import protocol_for

_log = logging.getLogger(__name__)

STUCK = 3
"""Exit code of a process whose shutdown did not come to its end."""
CLOSING_S = 30.0
"""Seconds for the journal and the threads after the last request, before the process is ended by force."""


class Server(uvicorn.Server):
    """uvicorn's server with signals of our own: SIGTERM and Ctrl-C end it in order, with exit code 0."""

    def __init__(self, app: FastAPI, config: ServiceConfig) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_for(config),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=config.keep_alive_s,
                timeout_graceful_shutdown=max(1, round(config.shutdown_s)),
                backlog=config.max_connections,
            )
        )
        self._limits = config
        self._reload: Callable[[], None] = app.state.runtime.reload_in_background
        self._runtime = app.state.runtime
        self._last_resort: threading.Timer | None = None

    def stop(self) -> None:
        """Take no more connections, finish what is under way, return from `run`; callable from any thread."""
        if not self.should_exit:
            self._runtime.stopping = True
            self.should_exit = True
            longest = self._limits.shutdown_s + CLOSING_S
            self._last_resort = threading.Timer(longest, _give_up, (longest,))
            self._last_resort.daemon = True
            self._last_resort.start()

    def serve_on(self, listener: socket.socket) -> None:
        """Serve until `stop`, then finish; blocking. In the main thread it takes signals."""
        try:
            asyncio.run(self.serve(sockets=[listener]))
        finally:
            if self._last_resort is not None:
                self._last_resort.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn raises the signal again at the end, which would make an orderly end look like a crash."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Any] = {signal.SIGTERM: self._end, signal.SIGINT: self._end}
        if hasattr(signal, "SIGHUP"):
            handlers[signal.SIGHUP] = self._hang_up
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, _: FrameType | None) -> None:
        _log.info("%s: finishing requests under way", signal.Signals(number).name)
        self.stop()

    def _hang_up(self, number: int, _: FrameType | None) -> None:
        _log.info("%s: reading the models again", signal.Signals(number).name)
        self._reload()


def listen(host: str, port: int, *, backlog: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: the address is unknown or in use, or the port is not ours to take.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # "localhost" stands for both; most clients try 127.0.0.1.
        family, kind, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        # Its protocol must be named: asyncio sets TCP_NODELAY only on sockets that say they are TCP, and
        # without it every answer waits 40 ms for the client's acknowledgement of its head.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"cannot listen on {host} port {port}: {reason}; choose another with --host and --port."
        ) from error


def _give_up(seconds: float) -> None:
    _log.error("shutdown did not end within %g seconds; ending by force", seconds)
    os._exit(STUCK)
