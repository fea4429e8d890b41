"""Calls: the decisions that were asked for together and answered after one latency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantum_trader.evaluate.trading_metrics import NAN
from quantum_trader.serve.monitor.records import Latency
from quantum_trader.serve.monitor.table import Floats, Integers, Table


@dataclass(frozen=True, kw_only=True)
class Calls:
    """`C` calls, oldest first.

    Attributes:
        symbols: int64 [C], decisions in each.
        latency_ms: float64 [C].
    """

    symbols: Integers
    latency_ms: Floats

    def newest(self, count: int) -> Calls:
        """The last `count` of them."""
        return Calls(symbols=self.symbols[-count:], latency_ms=self.latency_ms[-count:])


def calls_of(table: Table) -> Calls:
    """The calls behind decisions: those of one moment with one latency, which is the whole batch's."""
    order = np.lexsort((table.latency_ms, table.decided_ms))
    moments, latency = table.decided_ms[order], table.latency_ms[order]
    begins = np.flatnonzero((np.diff(moments, prepend=-1) != 0) | (np.diff(latency, prepend=-1.0) != 0))
    return Calls(symbols=np.diff(begins, append=len(order)), latency_ms=latency[begins])


def latency_figures(table: Table) -> Latency:
    """Percentiles over decisions; NaN without any."""
    if not len(table):
        return Latency(p50=NAN, p99=NAN, highest=NAN)
    p50, p99, highest = np.quantile(table.latency_ms, [0.5, 0.99, 1.0])
    return Latency(p50=float(p50), p99=float(p99), highest=float(highest))
