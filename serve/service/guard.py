"""The outermost layer: what is checked before, and added after, whatever the service answers."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from quantum_trader.serve.service.access import ApiKeys, is_loopback
from quantum_trader.serve.service.body import ClientGone, Message, Receive, read_body, replay
from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.errors import JSON_TYPE, ServiceError, error_body, header_pairs, stopping
from quantum_trader.serve.service.metrics import Metrics
from quantum_trader.serve.service.page import PAGE_POLICY
from quantum_trader.serve.service.rate import RateLimit

Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)
_access = logging.getLogger("quantum_trader.serve.service.access_log")

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/health", "/ready", "/favicon.ico"})
"""They hold no data: the page and the documentation are the same for everybody."""
OPEN_FOLDER = "/static/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = (
    (b"content-security-policy", PAGE_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Added to every answer that does not set them itself."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(kw_only=True)
class _Exchange:
    """One request and what became of it."""

    id: str
    client: str
    method: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    """0 until the answer has begun."""


class Guard:
    """Host, origin, rate, key and body are checked in this order; then the application is asked.

    Every answer carries X-Request-ID and the security headers. Every fault, whatever it is, becomes an answer
    in the error schema, and every request one line of log without its headers, its query or its body.
    """

    def __init__(self, app: App, *, config: ServiceConfig, keys: ApiKeys, metrics: Metrics) -> None:
        self._app, self._config, self._keys, self._metrics = app, config, keys, metrics
        self._rate = RateLimit(config.rate_limit, config.rate_burst)
        # Without a key the only fence is that nobody else reaches loopback, and a page in a browser on this
        # machine does, by a host name of its own that resolves to 127.0.0.1.
        self._hosts = LOOPBACK_NAMES | {config.host.lower(), *(name.lower() for name in config.allowed_hosts)}
        self._checks_host = not keys and is_loopback(config.host)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        exchange = _Exchange(id=_request_id(scope), client=_address(scope), method=scope["method"])
        sender = self._sender(exchange, send)
        try:
            await self._ask(scope, receive, sender)
        except ServiceError as error:
            await _send_error(exchange, sender, error)
        except ClientGone:
            exchange.status = exchange.status or 499
        except asyncio.CancelledError:
            await _send_error(exchange, sender, stopping())
            raise
        except Exception:
            _log.exception("request %s failed", exchange.id)
            message = f"The service failed on this request; its log says why under {exchange.id}."
            await _send_error(exchange, sender, ServiceError(status=500, code="internal", message=message))
        finally:
            self._note(exchange, scope)

    async def _ask(self, scope: Message, receive: Receive, send: Send) -> None:
        self._admit(scope)
        config = self._config
        body = await read_body(scope, receive, limit=config.max_body_bytes, timeout_s=config.body_timeout_s)
        limit = asyncio.timeout(config.answer_timeout_s)
        asked = _as_get(scope)
        try:
            async with limit:
                await self._app(asked, replay(body, receive), send)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"No answer within {config.answer_timeout_s:g} seconds; it may still take effect."
            raise ServiceError(
                status=503, code="timeout", message=message, headers={"retry-after": "5"}
            ) from error
        finally:
            scope["route"] = asked.get("route")

    def _admit(self, scope: Message) -> None:
        """Host, origin, rate and key of a request.

        Raises:
            ServiceError: 403, 429 or 401.
        """
        headers = scope["headers"]
        if self._checks_host:
            self._check_host(dict(headers), scope["method"])
        key = self._keys.which(headers) if self._keys else None
        wait = self._rate.wait_s(f"key {key}" if key is not None else _address(scope))
        if wait:
            message = f"More than {self._config.rate_limit:g} requests a second: wait {wait} s."
            raise ServiceError(
                status=429, code="rate_limited", message=message, headers={"retry-after": str(wait)}
            )
        if self._keys and key is None and not _is_open(scope["path"]):
            message = "A valid API key is needed: send it as X-API-Key or as Authorization: Bearer."
            raise ServiceError(
                status=401, code="unauthorized", message=message, headers={"www-authenticate": "Bearer"}
            )

    def _check_host(self, headers: dict[bytes, bytes], method: str) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if _host_name(host) not in self._hosts:
            message = "This service is not known by that Host name: see the option --allowed-hosts."
            raise ServiceError(status=403, code="host_not_allowed", message=message)
        origin = headers.get(b"origin", b"").decode("latin-1")
        if method in ("GET", "HEAD") or not origin:
            return
        if _netloc(origin) != host and _host_name(_netloc(origin)) not in self._config.allowed_hosts:
            message = "Other sites' pages may not use this service from a browser."
            raise ServiceError(status=403, code="origin_not_allowed", message=message)

    def _sender(self, exchange: _Exchange, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                own = list(message.get("headers", []))
                set_already = {name.lower() for name, _ in own}
                own += [pair for pair in HEADERS if pair[0] not in set_already]
                message = {**message, "headers": [*own, (b"x-request-id", exchange.id.encode("ascii"))]}
            await send(message)

        return with_headers

    def _note(self, exchange: _Exchange, scope: Message) -> None:
        seconds = time.perf_counter() - exchange.started
        route = route_of(scope)
        self._metrics.request(exchange.method, route, exchange.status, seconds)
        # The path is logged where it is one of ours: whatever else is asked for may hold anything.
        path = scope["path"].encode("unicode_escape").decode("ascii") if route != UNKNOWN else UNKNOWN
        _access.info(
            "method=%s path=%s status=%d ms=%.1f id=%s client=%s",
            *(exchange.method if exchange.method.isalpha() else "?", path.replace(" ", "%20")),
            *(exchange.status, seconds * 1000, exchange.id, exchange.client),
        )


UNKNOWN = "-"


def route_of(scope: Message) -> str:
    """Template of the route that took the request, e.g. "/v1/decisions/{symbol}"; "-" for none."""
    path = getattr(scope.get("route"), "path_format", None) or getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else UNKNOWN


async def _send_error(exchange: _Exchange, send: Send, error: ServiceError) -> None:
    """The error schema, where nothing else has been answered yet."""
    if exchange.status:
        return
    headers = [JSON_TYPE, *header_pairs(error.headers)]
    body = error_body(error.code, error.message)
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _as_get(scope: Message) -> Message:
    """HEAD is answered as GET wherever that is; the server leaves out the body (RFC 9110, 9.3.2)."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or (path.startswith(OPEN_FOLDER) and ".." not in path)


def _request_id(scope: Message) -> str:
    """The client's own where it is harmless, so that its log and ours can be laid side by side."""
    sent: bytes = dict(scope["headers"]).get(b"x-request-id", b"")
    return sent.decode("ascii") if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex[:16]


def _address(scope: Message) -> str:
    return str(scope["client"][0]) if scope.get("client") else "unknown"


def _host_name(host: str) -> str:
    """ "localhost" of "localhost:8000", "::1" of "[::1]:8000"."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
