"""Reading a request's body within bounds of size and time, before anything else looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from quantum_trader.serve.service.errors import ServiceError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

CLOSE = {"connection": "close"}
DRAINED = 16 * 1024 * 1024


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(scope: Message, receive: Receive, *, limit: int, timeout_s: float) -> bytes:
    """The whole body.

    Args:
        scope: of the request.
        receive: the server's.
        limit: bytes; counted as they come, whatever Content-Length says.
        timeout_s: seconds for the whole body.

    Raises:
        ServiceError: 413 for too many bytes, 408 for too slow a client, 400 for an odd Content-Length, 415
            for a compressed body.
        ClientGone: there is nobody to answer.
    """
    headers = dict(scope["headers"])
    announced = _announced(headers)
    _refuse_encoding(headers)
    waits = b"expect" in headers
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                if announced > limit and (waits or announced > limit + DRAINED):
                    raise _too_large(limit)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                # A client that is still sending reads no answer: what it sends beyond the limit is thrown
                # away for a while before it is told, so that most clients get to see the 413.
                if size <= limit:
                    chunks.append(chunk)
                elif size > limit + DRAINED:
                    raise _too_large(limit)
                more = message.get("more_body", False)
    except TimeoutError as error:
        late = f"The body did not arrive within {timeout_s:g} seconds."
        raise ServiceError(status=408, code="timeout", message=late, headers=CLOSE) from error
    if size > limit:
        raise _too_large(limit)
    return b"".join(chunks)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one piece, and what the server says after that."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _announced(headers: dict[bytes, bytes]) -> int:
    text = headers.get(b"content-length", b"0")
    if not text.isdigit() or len(text) > 18:
        raise ServiceError(
            status=400, code="bad_request", message="Content-Length is no number of bytes.", headers=CLOSE
        )
    return int(text)


def _refuse_encoding(headers: dict[bytes, bytes]) -> None:
    """Bytes that unfold to a multiple of themselves would slip past the limit."""
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        message = "The body is compressed: send it as it is, without Content-Encoding."
        raise ServiceError(status=415, code="unsupported_media_type", message=message, headers=CLOSE)


def _too_large(limit: int) -> ServiceError:
    message = f"The body is larger than {limit} bytes: send fewer bars a request."
    return ServiceError(status=413, code="too_large", message=message, headers=CLOSE)
