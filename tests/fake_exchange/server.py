"""A venue on this machine: Binance's USDT-margined futures API and its public archive, from given `Bars`.

    with FakeExchange({"BTCUSDT": bars}) as venue:
        client = ccxt.binanceusdm({"urls": {"api": venue.ccxt_urls()}})
        venue.now_ms = ...            # bars that open later do not exist; the newest may be open
        venue.fail("klines", status(502), times=2, skip=1)
        venue.requests                # what was asked, in order

Requests are answered by threads; the clock stands still unless a test moves it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from quantum_trader.envs.bars import Bars

from . import shapes
from .archive import ArchiveSettings, archive_file
from .faults import Fault
from .shapes import Json, VenueError

BANNED = {"code": -1003, "msg": "Way too many requests; IP(127.0.0.1) banned until 1659146400000."}
TOO_MANY = {
    "code": -1003,
    "msg": "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute.",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came in, and how it was answered."""

    path: str
    query: dict[str, str]
    status: int
    """HTTP status of the answer; 0 where the connection was closed without one."""
    fault: str
    """Kind of the fault that was scheduled for it; empty for a right answer."""
    received_s: float
    """`time.monotonic()` when it came in."""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def endpoint(self) -> str:
        """Last part of the path: "klines", "BTCUSDT-1h-2024-01.zip"."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(kw_only=True)
class _Scheduled:
    match: str
    fault: Fault
    times: int
    skip: int


@dataclass(frozen=True, kw_only=True)
class _Answer:
    status: int
    body: bytes
    kind: str = "application/json;charset=UTF-8"


class FakeExchange:
    """A venue that serves `series` over HTTP on a free loopback port while its context is open.

    Args:
        series: symbol -> bars; their funding and mark prices are served too.
        now_ms: the venue's clock; by default every bar has just closed.
        archive: peculiarities of the archive's files.
    """

    def __init__(
        self, series: Mapping[str, Bars], *, now_ms: int | None = None, archive: ArchiveSettings | None = None
    ) -> None:
        self.series: dict[str, Bars] = {name: replace(bars, symbol=name) for name, bars in series.items()}
        self.archive = archive if archive is not None else ArchiveSettings()
        self.now_ms = (
            max(int(bars.timestamp[-1]) + bars.step_ms for bars in series.values())
            if now_ms is None
            else now_ms
        )
        self.waiting = 0
        """Slow answers under way."""
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._scheduled: list[_Scheduled] = []
        self._closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        venue = self

        class Handler(_Handler):
            exchange = venue

        self._closing.clear()
        self._server = _Server(("127.0.0.1", 0), Handler)
        # A short poll: closing a server waits for the next one.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, the root of API and archive alike."""
        assert self._server is not None, "the venue is open inside its `with` block only"
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def ccxt_urls(self) -> dict[str, str]:
        """Every key of ccxt's `urls["api"]` for binance and binanceusdm, led here."""
        versions = {
            "public": "api/v3", "private": "api/v3", "v1": "api/v1",
            "fapiPublic": "fapi/v1", "fapiPublicV2": "fapi/v2", "fapiPublicV3": "fapi/v3",
            "fapiPrivate": "fapi/v1", "fapiPrivateV2": "fapi/v2", "fapiPrivateV3": "fapi/v3",
            "fapiData": "futures/data",
            "dapiPublic": "dapi/v1", "dapiPrivate": "dapi/v1", "dapiPrivateV2": "dapi/v2",
            "dapiData": "futures/data",
            "eapiPublic": "eapi/v1", "eapiPrivate": "eapi/v1",
            "sapi": "sapi/v1", "sapiV2": "sapi/v2", "sapiV3": "sapi/v3", "sapiV4": "sapi/v4",
            "papi": "papi/v1", "papiV2": "papi/v2",
        }  # fmt: skip
        return {key: f"{self.url}/{path}" for key, path in versions.items()}

    @property
    def requests(self) -> list[Request]:
        """What was asked so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def asked(self, part: str) -> list[Request]:
        """Requests whose path contains `part`."""
        return [request for request in self.requests if part in request.path]

    def forget(self) -> None:
        """Empty the log of requests."""
        with self._lock:
            self._requests.clear()

    def fail(self, match: str, fault: Fault, *, times: int = 1, skip: int = 0) -> None:
        """Answer `times` requests whose path contains `match` with `fault`, after `skip` right ones."""
        with self._lock:
            self._scheduled.append(_Scheduled(match=match, fault=fault, times=times, skip=skip))

    def heal(self) -> None:
        """Drop every fault that is still scheduled."""
        with self._lock:
            self._scheduled.clear()

    def set_bars(self, symbol: str, bars: Bars) -> None:
        """Serve other bars from now on: a venue that corrects its history, or lists a symbol."""
        self.series[symbol] = replace(bars, symbol=symbol)

    # What follows is called by the handler's threads.

    def answer(self, path: str, query: dict[str, str]) -> _Answer:
        """The right answer."""
        if path.startswith("/data/"):
            content = archive_file(path, self.series, self.now_ms, self.archive)
            if content is None:
                return _Answer(
                    status=404, body=b"<Error><Code>NoSuchKey</Code></Error>", kind="application/xml"
                )
            return _Answer(status=200, body=content, kind="application/zip")
        route = _ROUTES.get(path)
        if route is None:
            return _Answer(
                status=404, body=b"<html><body><h2>404 Not found</h2></body></html>", kind="text/html"
            )
        try:
            return _json(200, route(self, query))
        except VenueError as error:
            return _json(400, {"code": error.code, "msg": error.message})

    def faulty(self, fault: Fault, path: str, query: dict[str, str]) -> _Answer:
        """The answer that `fault` makes of it; closing the connection is the handler's part."""
        if fault.kind == "status" and fault.body:
            kind = "application/json" if fault.body.startswith("{") else "text/html"
            return _Answer(status=fault.status, body=fault.body.encode(), kind=kind)
        if fault.kind == "status":
            body = {418: BANNED, 429: TOO_MANY}.get(fault.status)
            if body is not None:
                return _json(fault.status, body)
            return _Answer(status=fault.status, body=b"<html>Internal error</html>", kind="text/html")
        if fault.kind == "html":
            return _Answer(status=200, body=b"<html><body>Under maintenance</body></html>", kind="text/html")
        if fault.kind == "foreign":
            other = next((name for name in self.series if name != query.get("symbol")), "OTHERUSDT")
            if other not in self.series:
                self.series[other] = replace(next(iter(self.series.values())), symbol=other)
            return self.answer(path, {**query, "symbol": other})
        if fault.kind == "slow":
            with self._lock:
                self.waiting += 1
            self._closing.wait(fault.delay_s)
            with self._lock:
                self.waiting -= 1
        right = self.answer(path, query)
        if fault.kind == "empty":
            return _json(200, [])
        if fault.kind == "partial":
            rows = json.loads(right.body)
            return _json(200, rows[: max(len(rows) // 3, 1)])
        if fault.kind == "truncated":
            return replace(right, body=right.body[: len(right.body) * 2 // 3])
        if fault.kind == "corrupt":
            damaged = bytearray(right.body)
            damaged[len(damaged) // 2] ^= 1
            return replace(right, body=bytes(damaged))
        return right

    def take_fault(self, path: str) -> Fault | None:
        """The fault scheduled for a request of `path`, counted down."""
        with self._lock:
            for entry in self._scheduled:
                if entry.match not in path or entry.times <= 0:
                    continue
                if entry.skip > 0:
                    entry.skip -= 1
                    continue
                entry.times -= 1
                return entry.fault
        return None

    def log(self, request: Request) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)

    def weight_used(self) -> int:
        """Weight of the last minute's requests, as the header X-MBX-USED-WEIGHT-1M tells it (5 each here)."""
        with self._lock:
            return 5 * sum(1 for request in self._requests if request.received_s > time.monotonic() - 60)

    def bars(self, query: dict[str, str]) -> Bars:
        """Bars that `query` names and that exist at the venue's clock.

        Raises:
            VenueError: the parameter is missing or there is no such symbol.
        """
        symbol = query.get("symbol")
        if not symbol:
            raise VenueError(
                -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            )
        if symbol not in self.series:
            raise shapes.invalid_symbol()
        bars = self.series[symbol]
        return bars[: int(np.searchsorted(bars.timestamp, self.now_ms, side="right"))]


def _klines(shape: Callable[[Bars, int, int], list[Any]]) -> Callable[[FakeExchange, dict[str, str]], Json]:
    def route(venue: FakeExchange, query: dict[str, str]) -> Json:
        bars = venue.bars(query)
        if query.get("interval") not in shapes.INTERVALS:
            raise VenueError(-1120, "Invalid interval.")
        if shapes.INTERVALS[query["interval"]] != bars.step_ms:
            return []
        limit = _limit(query, shapes.DEFAULT_KLINES, shapes.MAX_KLINES)
        rows = np.arange(len(bars))[_between(bars, query)]
        rows = rows[:limit] if "startTime" in query else rows[-limit:]
        return [shape(bars, int(row), venue.now_ms) for row in rows]

    return route


def _funding(venue: FakeExchange, query: dict[str, str]) -> Json:
    bars = venue.bars(query)
    limit = _limit(query, shapes.DEFAULT_FUNDING, shapes.MAX_FUNDING)
    rows = [shapes.funding_row(bars, int(row)) for row in np.flatnonzero(np.isfinite(bars.funding_rate))]
    start, end = int(query.get("startTime", 0)), int(query.get("endTime", venue.now_ms))
    rows = [row for row in rows if start <= row["fundingTime"] <= end]
    return rows[:limit] if "startTime" in query else rows[-limit:]


def _premium(venue: FakeExchange, query: dict[str, str]) -> Json:
    names = [query["symbol"]] if "symbol" in query else list(venue.series)
    newest = {name: venue.bars({"symbol": name}) for name in names}
    answers = [
        shapes.premium_index(bars, len(bars) - 1, venue.now_ms) for bars in newest.values() if len(bars)
    ]
    return answers[0] if "symbol" in query else answers


def _between(bars: Bars, query: dict[str, str]) -> np.ndarray:
    start, end = int(query.get("startTime", 0)), int(query.get("endTime", 2**62))
    return (bars.timestamp >= start) & (bars.timestamp <= end)


def _limit(query: dict[str, str], default: int, largest: int) -> int:
    limit = int(query.get("limit", default))
    if not 1 <= limit <= largest:
        raise VenueError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


_Route = Callable[[FakeExchange, dict[str, str]], Json]
_ROUTES: dict[str, _Route] = {
    "/fapi/v1/ping": lambda venue, query: {},
    "/fapi/v1/time": lambda venue, query: {"serverTime": venue.now_ms},
    "/fapi/v1/exchangeInfo": lambda venue, query: shapes.exchange_info(venue.series, venue.now_ms),
    "/fapi/v1/klines": _klines(shapes.kline),
    "/fapi/v1/markPriceKlines": _klines(shapes.mark_kline),
    "/fapi/v1/fundingRate": _funding,
    "/fapi/v1/premiumIndex": _premium,
    # Programs that load every market of the venue ask these too.
    "/api/v3/ping": lambda venue, query: {},
    "/api/v3/time": lambda venue, query: {"serverTime": venue.now_ms},
    "/api/v3/exchangeInfo": lambda venue, query: shapes.empty_exchange_info(venue.now_ms),
    "/dapi/v1/exchangeInfo": lambda venue, query: shapes.empty_exchange_info(venue.now_ms),
}


def _json(status: int, value: Json) -> _Answer:
    return _Answer(status=status, body=json.dumps(value, separators=(",", ":")).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of the venue."""


class _Handler(BaseHTTPRequestHandler):
    exchange: FakeExchange
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        received = time.monotonic()
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        fault = self.exchange.take_fault(parts.path)
        answer = (
            self.exchange.answer(parts.path, query)
            if fault is None
            else self.exchange.faulty(fault, parts.path, query)
        )
        gone = fault is not None and fault.kind == "disconnect"
        self.exchange.log(
            Request(
                path=parts.path,
                query=query,
                status=0 if gone else answer.status,
                fault="" if fault is None else fault.kind,
                received_s=received,
                method=self.command,
                headers={name.lower(): value for name, value in self.headers.items()},
            )
        )
        if gone:
            self.close_connection = True
            return
        self._send(answer, fault)

    # Nothing here takes orders: a program that tries to place one shows up in the log with its method.
    do_POST = do_PUT = do_DELETE = do_GET

    def _send(self, answer: _Answer, fault: Fault | None) -> None:
        cut = fault is not None and fault.kind == "cut"
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-MBX-USED-WEIGHT-1M", str(self.exchange.weight_used()))
        if fault is not None and fault.retry_after_s is not None:
            self.send_header("Retry-After", f"{fault.retry_after_s:g}")
        self.end_headers()
        self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silence: tests read `FakeExchange.requests`."""
