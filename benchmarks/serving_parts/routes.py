"""Three ways to a decision: the Arbiter itself, with a journal, and over HTTP."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Protocol

from quantum_trader.agents import load_arbiter
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.agents.self_check import self_check
from quantum_trader.envs import Bar, Bars
from quantum_trader.serve.desk import Desk
from quantum_trader.serve.garbage import set_aside
from quantum_trader.serve.journal.journal import Journal
from serving_parts.service import Address

_WARM_UP_SYMBOLS = 10
"""Symbols in one warm-up request: the service limits the bars of a request."""
_IDLE_S = 1.0
"""Seconds without a request after which a connection is not trusted any more."""


class Route(Protocol):
    """A way to decisions; what comes back is counted by source."""

    name: str

    def warm(self, symbols: Sequence[str], past: Bars) -> None:
        """Give every symbol its past."""
        ...

    def decide(self, bars: Mapping[str, Bar]) -> Counter[str]:
        """Decide on one closed bar per symbol."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class InProcess:
    """`Arbiter.decide_batch`.

    Args:
        models: folder of a run.
        kept_bars: bars that each symbol's history keeps.
        patient: wait for the TFT however long it takes, so that other load does not change who decides.
    """

    name = "in-process"

    def __init__(self, models: Path, *, kept_bars: int = LiveConfig.kept_bars, patient: bool = False) -> None:
        self.arbiter = load_arbiter(models, live=LiveConfig(kept_bars=kept_bars))
        if patient:
            self.arbiter.settings = replace(self.arbiter.settings, latency_budget_ms=0.0)
        self_check(self.arbiter)
        set_aside()

    def warm(self, symbols: Sequence[str], past: Bars) -> None:
        """See `Route`."""
        self.arbiter.warmup(dict.fromkeys(symbols, past))

    def decide(self, bars: Mapping[str, Bar]) -> Counter[str]:
        """See `Route`."""
        return Counter(decision.source for decision in self.arbiter.decide_batch(bars).values())

    def close(self) -> None:
        """See `Route`."""


class Journaled(InProcess):
    """`Desk.decide`: the same, written to disk before the answer is given; arguments as for `InProcess`."""

    name = "with journal"

    def __init__(
        self,
        models: Path,
        journal: Path,
        *,
        kept_bars: int = LiveConfig.kept_bars,
        patient: bool = False,
    ) -> None:
        super().__init__(models, kept_bars=kept_bars, patient=patient)
        self.desk = Desk(self.arbiter, Journal(journal))

    def warm(self, symbols: Sequence[str], past: Bars) -> None:
        """See `Route`."""
        self.desk.warmup(dict.fromkeys(symbols, past))

    def decide(self, bars: Mapping[str, Bar]) -> Counter[str]:
        """See `Route`; an answer that is not on disk counts as one of the source "not journaled"."""
        answers = self.desk.decide(bars).values()
        return Counter(each.decision.source if each.journaled else "not journaled" for each in answers)

    def close(self) -> None:
        """See `Route`."""
        self.desk.close()


class OverHttp:
    """POST /v1/decisions over one connection, journal included; the request is made and read in Python."""

    name = "over HTTP"

    def __init__(self, address: Address) -> None:
        self._connection = HTTPConnection(address.host, address.port, timeout=60)
        self._used = time.monotonic()

    def warm(self, symbols: Sequence[str], past: Bars) -> None:
        """See `Route`."""
        bars = [past.bar(index) for index in range(len(past))]
        for start in range(0, len(symbols), _WARM_UP_SYMBOLS):
            body = warm_up_body(symbols[start : start + _WARM_UP_SYMBOLS], bars)
            self._post("/v1/warmup", body)

    def decide(self, bars: Mapping[str, Bar]) -> Counter[str]:
        """See `Route`."""
        found = json.loads(self._post("/v1/decisions", decisions_body(bars)))["decisions"].values()
        return Counter(each["source"] if each["journaled"] else "not journaled" for each in found)

    def close(self) -> None:
        """See `Route`."""
        self._connection.close()

    def _post(self, path: str, body: bytes) -> bytes:
        if time.monotonic() - self._used > _IDLE_S:
            self._connection.close()  # the service closes idle ones; the request opens another
        self._connection.request("POST", path, body, {"content-type": "application/json"})
        response = self._connection.getresponse()
        found = response.read()
        self._used = time.monotonic()
        if response.status != 200:
            raise SystemExit(f"POST {path} was answered {response.status}: {found[:300]!r}")
        return found


def decisions_body(bars: Mapping[str, Bar]) -> bytes:
    """The request that asks for decisions on `bars`."""
    return json.dumps({"bars": {symbol: asdict(bar) for symbol, bar in bars.items()}}).encode()


def warm_up_body(symbols: Sequence[str], bars: Sequence[Bar]) -> bytes:
    """The request that gives each of `symbols` the past `bars`."""
    past = [asdict(bar) for bar in bars]
    return json.dumps({"bars": dict.fromkeys(symbols, past)}).encode()
