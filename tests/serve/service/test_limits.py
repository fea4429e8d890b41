"""Raw sockets against a real server: clients that hang, drip, send too much, or speak no HTTP."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.server import listen

from .services import SOON_S, Served, ask, bar_json, code_of, own_port, service, serving_here, wait_until

MOST = 12
"""Connections that the patient server takes."""
HEAD = b"POST /v1/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
ALIVE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LAST = ALIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def server(**limits: Any) -> AbstractContextManager[Served]:
    """A server that is hasty in what `limits` say, and in nothing else: a busy machine must not meet them."""
    chosen = {"max_body_kb": 64, "shutdown_s": 2.0, **limits}
    return serving_here(service("A", **chosen), **chosen)


@pytest.fixture(scope="module")
def patient() -> Iterator[Served]:
    """Waits for everybody."""
    with server(max_connections=MOST) as found:
        yield found


@pytest.fixture(scope="module")
def hasty_with_heads() -> Iterator[Served]:
    """Waits half a second for a head."""
    with server(head_timeout_s=0.5) as found:
        yield found


@pytest.fixture(scope="module")
def hasty_with_bodies() -> Iterator[Served]:
    """Waits half a second for a body, and for a client that does not read."""
    with server(body_timeout_s=0.5) as found:
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
        for byte in itertools.cycle(data):
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


def sent(client: socket.socket, data: bytes, *, times: int = 1) -> bool:
    """Whether all of it could be sent; False once the other side has closed, by reset or broken pipe."""
    try:
        for _ in range(times):
            client.sendall(data)
    except (ConnectionError, TimeoutError) as error:
        return isinstance(error, TimeoutError)
    return True


def alive(served: Served) -> None:
    """It still answers: asked in one moment, so that no deadline of a head can pass between."""
    with served.standing_still():
        client = served.connect()
        client.sendall(LAST)
    with client:
        assert everything(client).startswith(b"HTTP/1.1 200")


def test_a_client_that_says_nothing_is_closed(hasty_with_heads: Served) -> None:
    """A connection without a request does not stay."""
    with hasty_with_heads.connect() as client:
        assert everything(client) == b""
    alive(hasty_with_heads)


def test_a_head_that_drips_is_cut_off(hasty_with_heads: Served) -> None:
    """Every byte in time, the whole too late."""
    with hasty_with_heads.connect() as client:
        assert dripped(client, b"X-More: " + b"x" * 1_000) == b""
    alive(hasty_with_heads)


def test_a_second_head_that_drips_is_cut_off(hasty_with_heads: Served) -> None:
    """The same on a connection that has been answered once."""
    with hasty_with_heads.standing_still():
        client = hasty_with_heads.connect()
        client.sendall(ALIVE)
    with client:
        answer = b""
        while b"alive" not in answer:
            answer += client.recv(65_536)
        assert dripped(client, b"X-More: " + b"x" * 1_000) == b""
    alive(hasty_with_heads)


def test_an_idle_connection_is_closed() -> None:
    """Keep-alive ends."""
    with server(keep_alive_s=1) as served, served.connect() as client:
        client.sendall(ALIVE)
        assert b"200 OK" in everything(client)


@pytest.mark.parametrize(
    "length", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n100000\r\n"]
)
def test_a_body_that_drips_is_answered_408(hasty_with_bodies: Served, length: bytes) -> None:
    """Whether or not its length was announced."""
    with hasty_with_bodies.connect() as client:
        client.sendall(HEAD + length)
        found = dripped(client, b" ")
    assert found.startswith(b"HTTP/1.1 408")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"
    alive(hasty_with_bodies)


def test_hanging_clients_do_not_hold_up_others(patient: Served) -> None:
    """Clients hang in their heads or bodies; another is answered meanwhile."""
    with room(patient):
        clients = [patient.connect() for _ in range(MOST - 2)]
        try:
            for number, client in enumerate(clients):
                client.sendall(HEAD + (b"" if number % 2 else b"Content-Length: 10\r\n\r\n"))
            assert patient.post("/v1/decisions", {"bars": {"A": bar_json(61)}}).status_code == 200
        finally:
            for client in clients:
                client.close()


def test_too_many_connections_are_told_so(patient: Served) -> None:
    """One beyond `max_connections` gets 503 with Retry-After; there is room again later."""
    with room(patient):
        clients = [patient.connect() for _ in range(MOST)]
        try:
            with patient.connect() as client:
                found = everything(client)
        finally:
            for client in clients:
                client.close()
        assert found.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in found
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"


@contextmanager
def room(served: Served) -> Iterator[None]:
    """Before and after, the server has noticed that earlier clients are gone: as many as it takes get in."""

    def free() -> bool:
        with served.standing_still():
            clients = [served.connect() for _ in range(MOST)]
            for client in clients:
                client.sendall(LAST)
        answers = [everything(client) for client in clients]
        for client in clients:
            client.close()
        return all(answer.startswith(b"HTTP/1.1 200") for answer in answers)

    wait_until(free)
    yield
    wait_until(free)


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
def test_a_body_that_is_too_large_is_answered_413(patient: Served, request_bytes: bytes) -> None:
    """Counted as it comes, whatever was announced, and refused before it is sent where that is possible."""
    with patient.connect() as client:
        sent(client, request_bytes)  # it may be refused before all of it is sent
        found = everything(client)
    assert found.startswith(b"HTTP/1.1 413"), found[:200]
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"
    alive(patient)


def test_a_stream_without_end_is_cut_off(patient: Served) -> None:
    """A chunked body that never ends is given up; the server is as it was."""
    with patient.connect() as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        assert not sent(client, chunk, times=20_000)
    alive(patient)


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
def test_what_is_no_http_is_answered_400(patient: Served, request_bytes: bytes) -> None:
    """In the error schema, and the connection ends."""
    with patient.connect() as client:
        sent(client, request_bytes)  # it may be refused before all of it is sent
        found = everything(client)
    # The rest of a long head may still be on its way when the connection is closed, which resets it.
    assert found.startswith(b"HTTP/1.1 400") or (not found and len(request_bytes) > 65_536)
    if found:
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "bad_request"
    alive(patient)


def test_pipelined_requests_are_answered_in_order(patient: Served) -> None:
    """Two requests in one packet, two answers."""
    with patient.connect() as client:
        client.sendall(ALIVE + LAST.replace(b"/health", b"/ready"))
        found = everything(client)
    assert found.index(b'"alive"') < found.index(b'"ready"')


def test_a_client_that_does_not_read_is_cut_off(hasty_with_bodies: Served) -> None:
    """Requests without end, answers never taken: the server gives the connection up."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.settimeout(SOON_S)
        client.connect(("127.0.0.1", hasty_with_bodies.port))
        request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert not sent(client, request * 50, times=200_000)
    alive(hasty_with_bodies)


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
    """The server's loop ends with it, and so does its listening."""
    with own_port() as port:
        with serving_here(service(), port=port) as found:
            alive(found)
        assert found.loop is not None
        assert found.loop.is_closed()
        with pytest.raises(ConnectionRefusedError):
            found.connect()
