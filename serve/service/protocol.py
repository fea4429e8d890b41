"""HTTP/1.1 on one connection, with deadlines: a client that stalls loses its connection, not our patience."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.errors import error_body


class GuardedProtocol(H11Protocol):
    """uvicorn's h11 protocol, which itself waits for ever for a request's head and for a reader.

    Whenever no request is being answered and a byte of the next one has come, or none ever has, the head must
    be whole within `head_timeout_s`, however the bytes drip. What has been answered must be taken within
    `body_timeout_s`. Connections beyond `max_connections` are answered 503 and closed.
    """

    limits = ServiceConfig()
    """Set by `protocol_for`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse one too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.write(_raw(503, "overloaded", "Too many connections: try again in a second."))
            self._end()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the deadline of a head is not put off by them."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._expect_head()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, whether or not its client has read the last answer."""
        super().timeout_keep_alive_handler()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        for handle in (self._head_deadline, self._write_deadline):
            if handle is not None:
                handle.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: it has so long to begin."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self.limits.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered in the error schema, too."""
        self.transport.write(_raw(400, "bad_request", "This is no HTTP/1.1 request."))
        self._end()

    @property
    def _idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._idle and not self.transport.is_closing():
            if self._head_deadline is None:
                self._head_deadline = self.loop.call_later(self.limits.head_timeout_s, self._head_is_late)
        elif self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _head_is_late(self) -> None:
        self._head_deadline = None
        if self._idle:
            self._end()

    def _end(self) -> None:
        """Close, giving the client a moment to read what was sent, and no longer."""
        self.transport.close()
        self.loop.call_later(self.limits.body_timeout_s, self.transport.abort)


def protocol_for(config: ServiceConfig) -> type[GuardedProtocol]:
    """The protocol with these limits."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": config})


def _raw(status: int, code: str, message: str) -> bytes:
    body = error_body(code, message)
    phrase = {400: "Bad Request", 503: "Service Unavailable"}[status]
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    )
    retry = "retry-after: 1\r\n" if status == 503 else ""
    return f"{head}{retry}connection: close\r\n\r\n".encode("ascii") + body
