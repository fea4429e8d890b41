"""Raw sockets against a real server: clients that hang, drip, send too much, or speak no HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.server import listen

from .services import Served, ask, bar_json, code_of, service, serving_here

SMALL = {
    "head_timeout_s": 0.6,
    "body_timeout_s": 0.6,
    "keep_alive_s": 1,
    "max_body_kb": 64,
    "max_connections": 12,
    "shutdown_s": 2.0,
}
HEAD = b"POST /v1/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server with small limits for all tests of this file."""
    with serving_here(service("A", **SMALL), **SMALL) as found:
        yield found


def everything(client: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    chunks = []
    try:
        while chunk := client.recv(65_536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)


def drip(client: socket.socket, data: bytes, done: threading.Event) -> None:
    """One byte at a time, until the other side has closed."""
    try:
        for byte in data:
            if done.wait(0.05):
                return
            client.sendall(bytes([byte]))
    except OSError:
        pass


def dripped(client: socket.socket, data: bytes) -> bytes:
    done = threading.Event()
    thread = threading.Thread(target=drip, args=(client, data, done))
    thread.start()
    found = everything(client)
    done.set()
    thread.join()
    return found


def sent(client: socket.socket, data: bytes, *, times: int) -> bool:
    """Whether all of it could be sent; False once the other side has closed, by reset or broken pipe."""
    try:
        for _ in range(times):
            client.sendall(data)
    except (ConnectionError, TimeoutError) as error:
        return isinstance(error, TimeoutError)
    return True


def alive(served: Served) -> None:
    assert httpx.get(f"{served.url}/health").status_code == 200


def test_a_client_that_says_nothing_is_closed(served: Served) -> None:
    """A connection without a request does not stay."""
    with served.connect() as client:
        assert everything(client) == b""
    alive(served)


def test_a_head_that_drips_is_cut_off(served: Served) -> None:
    """Every byte in time, the whole too late."""
    with served.connect() as client:
        assert dripped(client, HEAD * 10) == b""
    alive(served)


def test_a_second_head_that_drips_is_cut_off(served: Served) -> None:
    """The same on a connection that has been answered once."""
    with served.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while b"alive" not in answer:
            answer += client.recv(65_536)
        assert dripped(client, HEAD * 10) == b""
    alive(served)


def test_an_idle_connection_is_closed(served: Served) -> None:
    """Keep-alive ends."""
    with served.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in everything(client)


@pytest.mark.parametrize(
    "length", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"]
)
def test_a_body_that_drips_is_answered_408(served: Served, length: bytes) -> None:
    """Whether or not its length was announced."""
    with served.connect() as client:
        client.sendall(HEAD + length)
        found = dripped(client, b" " * 1000)
    assert found.startswith(b"HTTP/1.1 408")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"
    alive(served)


def test_hanging_clients_do_not_hold_up_others(served: Served) -> None:
    """Ten clients hang in their heads or bodies; an eleventh is answered meanwhile."""
    clients = [served.connect() for _ in range(10)]
    try:
        for number, client in enumerate(clients):
            client.sendall(HEAD + (b"" if number % 2 else b"Content-Length: 10\r\n\r\n"))
        answer = httpx.post(f"{served.url}/v1/decisions", json={"bars": {"A": bar_json(61)}})
        assert answer.status_code == 200
    finally:
        for client in clients:
            client.close()


def test_too_many_connections_are_told_so(served: Served) -> None:
    """One beyond `max_connections` gets 503 with Retry-After; there is room again later."""
    clients = [served.connect() for _ in range(SMALL["max_connections"])]
    try:
        with served.connect() as client:
            found = everything(client)
    finally:
        for client in clients:
            client.close()
    assert found.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in found
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"
    for _ in range(100):
        try:
            alive(served)
            return
        except (httpx.TransportError, AssertionError):
            time.sleep(0.05)
    alive(served)


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 100_000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"186a0\r\n" + b" " * 100_000 + b"\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
        HEAD + b"Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["announced", "chunked", "absurd", "asks before sending"],
)
def test_a_body_that_is_too_large_is_answered_413(served: Served, request_bytes: bytes) -> None:
    """Counted as it comes, whatever was announced, and refused before it is sent where that is possible."""
    with served.connect() as client:
        client.sendall(request_bytes)
        found = everything(client)
    assert found.startswith(b"HTTP/1.1 413"), found[:200]
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"
    alive(served)


def test_a_stream_without_end_is_cut_off(served: Served) -> None:
    """A chunked body that never ends is given up; the server is as it was."""
    with served.connect() as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        assert not sent(client, chunk, times=20_000)
    alive(served)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        HEAD + b"Content-Length: -5\r\n\r\n{}",
    ],
    ids=["TLS", "words", "no host", "two hosts", "long head", "two lengths", "negative length"],
)
def test_what_is_no_http_is_answered_400(served: Served, request_bytes: bytes) -> None:
    """In the error schema, and the connection ends."""
    with served.connect() as client:
        client.sendall(request_bytes)
        found = everything(client)
    # The rest of a long head may still be on its way when the connection is closed, which resets it.
    assert found.startswith(b"HTTP/1.1 400") or (not found and len(request_bytes) > 65_536)
    if found:
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"
    alive(served)


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    """Two requests in one packet, two answers."""
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with served.connect() as client:
        client.sendall(request + request.replace(b"/health", b"/ready"))
        found = everything(client)
    assert found.index(b'"alive"') < found.index(b'"ready"')


def test_a_client_that_does_not_read_is_cut_off(served: Served) -> None:
    """Requests without end, answers never taken: the server gives the connection up."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(20)
        client.connect(("127.0.0.1", served.port))
        request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert not sent(client, request * 50, times=200_000)
    alive(served)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    """TCP_NODELAY, which asyncio sets on sockets that say they are TCP: else each answer takes 40 ms more."""
    with listen("127.0.0.1", 0, backlog=1) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_bodies_are_counted_in_process_too() -> None:
    """The limit is the application's, not only the server's."""
    answer = ask(service(max_body_kb=1), "POST", "/v1/decisions", content=b" " * 2_000)
    assert (answer.status_code, code_of(answer)) == (413, "too_large")
    headers = {"content-length": "9" * 30}
    answer = ask(service(), "POST", "/v1/decisions", content=b"{}", headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "bad_request")


def test_limits_that_serve_nobody_are_refused() -> None:
    """Zero, negative and infinite limits, and a queue shorter than one request."""
    from quantum_trader.envs.errors import ConfigError

    for wrong in (
        {"max_symbols": 0},
        {"workers": -1},
        {"head_timeout_s": float("nan")},
        {"body_timeout_s": float("inf")},
        {"port": 70_000},
        {"max_waiting_bars": 10, "max_symbols": 11},
    ):
        with pytest.raises(ConfigError):
            ServiceConfig(**wrong)


def test_asyncio_is_not_left_running() -> None:
    """The server's loop ends with it."""
    with serving_here(service()) as found:
        alive(found)
    with pytest.raises(httpx.ConnectError):
        alive(found)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
