"""Many clients at once, each with a symbol and a connection of its own, for a while."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from serving_parts.feed import Feed, symbols
from serving_parts.memory import MARKS, resident_mb
from serving_parts.routes import OverHttp, decisions_body
from serving_parts.service import Address


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What the clients saw."""

    clients: int
    seconds: float
    milliseconds: tuple[float, ...]
    """Of each answered request."""
    sources: dict[str, int]
    """Decisions by who decided."""
    errors: dict[str, int]
    """Requests that failed, by reason."""
    server_mb: tuple[float, ...]
    """Resident megabytes of the service before, and after every tenth of the time."""

    @property
    def per_second(self) -> float:
        """Decisions a second."""
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds that so many percent of the requests stay below; NaN without requests."""
        return float(np.percentile(self.milliseconds, share)) if self.milliseconds else float("nan")


@dataclass(kw_only=True)
class _Tally:
    """What has been seen so far."""

    milliseconds: list[float] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    server_mb: list[float] = field(default_factory=list)


def crowd(address: Address, feed: Feed, clients: int, seconds: float) -> Crowd:
    """Every client sends its symbol's next bar as soon as the last one was answered."""
    names = symbols("CROWD", clients)
    route = OverHttp(address)
    route.warm(names, feed.past)
    route.close()
    tally = _Tally(server_mb=[resident_mb(address.pid)])
    elapsed = asyncio.run(_all(address, feed, names, seconds, tally))
    return Crowd(
        clients=clients,
        seconds=elapsed,
        milliseconds=tuple(tally.milliseconds),
        sources=dict(tally.sources),
        errors=dict(tally.errors),
        server_mb=tuple(tally.server_mb),
    )


async def _all(address: Address, feed: Feed, names: list[str], seconds: float, tally: _Tally) -> float:
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        group.create_task(_watch(address.pid, seconds, tally))
        for name in names:
            group.create_task(_client(address, feed, name, started + seconds, tally))
    return time.perf_counter() - started


async def _watch(process: int, seconds: float, tally: _Tally) -> None:
    for _ in range(MARKS):
        await asyncio.sleep(seconds / MARKS)
        tally.server_mb.append(resident_mb(process))


async def _client(address: Address, feed: Feed, name: str, stop: float, tally: _Tally) -> None:
    try:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for step in range(len(feed)):
            if time.perf_counter() >= stop:
                break
            body = decisions_body(feed.bars([name], step))
            started = time.perf_counter()
            status, answer = await _post(reader, writer, body)
            elapsed = time.perf_counter() - started
            if status != 200:
                tally.errors[f"status {status}"] += 1
                continue
            tally.milliseconds.append(elapsed * 1000)
            decision = json.loads(answer)["decisions"][name]
            tally.sources[decision["source"] if decision["journaled"] else "not journaled"] += 1
        writer.close()
        await writer.wait_closed()
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        tally.errors[type(error).__name__] += 1


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
    """As little HTTP as will do: the clients share the processor with the service that is measured."""
    head = f"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), await reader.readexactly(int(headers["content-length"]))
