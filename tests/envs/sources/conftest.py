"""A venue on this machine with small series, and a guard: no test of this folder reaches another host."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.sources.client import URL_VARIABLE
from quantum_trader.envs.sources.retry import Retry, RetryConfig
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

from ...fake_exchange.server import FakeExchange

HOUR_MS = 3_600_000
START_MS = 1_577_836_800_000
"""2020-01-01 00:00 UTC, the first bar of every made-up series."""


def refuse_other_hosts(address: Any) -> None:
    """Fail for an address that is not of this machine."""
    if isinstance(address, tuple) and not ipaddress.ip_address(address[0]).is_loopback:
        raise AssertionError(f"a test tried to connect to {address}")


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections and name look-ups beyond loopback fail."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(self: socket.socket, address: Any) -> None:
        refuse_other_hosts(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        refuse_other_hosts(address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *rest: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1", None):
            raise AssertionError(f"a test tried to look up {host}")
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    monkeypatch.delenv(URL_VARIABLE, raising=False)


@pytest.fixture(scope="session")
def bars() -> Bars:
    """2,500 hourly bars from 2020-01-01 on, funding every 8 hours."""
    return synthetic_bars(SyntheticConfig(bars=2_500, seed=1, symbol="BTCUSDT"))


@pytest.fixture(scope="session")
def younger() -> Bars:
    """ETHUSDT, listed 1,000 hours later."""
    return synthetic_bars(SyntheticConfig(bars=2_500, seed=2, symbol="ETHUSDT"))[1_000:]


@pytest.fixture
def venue(bars: Bars, younger: Bars) -> Iterator[FakeExchange]:
    """A venue with BTCUSDT and ETHUSDT, all of whose bars have closed."""
    with FakeExchange({"BTCUSDT": bars, "ETHUSDT": younger}) as exchange:
        yield exchange


@pytest.fixture
def pauses() -> list[float]:
    """What `retry` was told to sleep, in seconds."""
    return []


@pytest.fixture
def retry(pauses: list[float]) -> Retry:
    """Patience without waiting: three attempts, no dice."""
    return Retry(config=RetryConfig(attempts=3), sleep=pauses.append, uniform=lambda: 0.0)
