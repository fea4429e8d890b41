"""Numbers for Prometheus, in a registry of the service's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from quantum_trader.agents.decision import Decision
from quantum_trader.agents.health import Health
from quantum_trader.serve.journal.records import JournalState
from quantum_trader.serve.monitor.reasons import reason_kind

if TYPE_CHECKING:
    from quantum_trader.serve.monitor.records import Alert

PREFIX = "quantum_trader"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
MOST_LABELS = 60
"""Values of one label, after which further ones are counted as "other": no text of ours, a model's or a
client's can make the number of series grow for ever."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is read when Prometheus asks, rather than counted as it happens."""

    health: Health | None
    """None while models load."""
    journal: JournalState | None
    alerts: tuple[Alert, ...]
    waiting: int
    """Bars accepted and not answered yet."""


class Metrics:
    """Counters that requests and decisions feed, and gauges read when they are asked for."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._histogram(
            "request_seconds", "Seconds to answer a request.", SECONDS, "method", "route"
        )
        self._statuses = self._counter("requests", "Requests answered.", "route", "status")
        self._rounds = self._histogram(
            "decision_seconds", "Seconds of a round, the journal included.", SECONDS
        )
        self._round_size = self._histogram("round_symbols", "Symbols of a round.", SIZES)
        self._decisions = self._counter("decisions", "Decisions answered.", "action", "source", "reason")
        self._unjournaled = self._counter("decisions_unjournaled", "Decisions the journal does not keep.")
        self._last = self._gauge("last_decision_timestamp_seconds", "When the newest decision was answered.")
        self._reloads = self._counter("reloads", "Model reloads.", "outcome")
        build = self._gauge("build_info", "Version of this software.", "version")
        build.labels(version("quantum-trader")).set(1)
        self._gauge("start_timestamp_seconds", "When the service was started.").set(time.time())
        self._reason_labels, self._source_labels = _Labels(), _Labels()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request."""
        self._requests.labels(method if method in METHODS else "other", route).observe(seconds)
        self._statuses.labels(route, str(status)).inc()

    def round(self, decisions: Iterable[tuple[Decision, bool]], seconds: float) -> None:
        """One round: decisions, each with whether the journal keeps it."""
        size = 0
        for decision, journaled in decisions:
            size += 1
            reason = self._reason_labels.bounded(reason_kind(decision.reason))
            source = self._source_labels.bounded(decision.source)
            self._decisions.labels(decision.action.name, source, reason).inc()
            if not journaled:
                self._unjournaled.inc()
        self._rounds.observe(seconds)
        self._round_size.observe(size)
        self._last.set_to_current_time()

    def reload(self, *, succeeded: bool) -> None:
        """One model reload."""
        self._reloads.labels("succeeded" if succeeded else "failed").inc()

    def read_from(self, snapshot: Callable[[], Snapshot]) -> None:
        """Ask `snapshot` whenever the metrics are read."""
        self.registry.register(_Collector(snapshot))

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, namespace=PREFIX, registry=self.registry)


class _Labels:
    """The first values of a label; all others are "other"."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def bounded(self, value: str) -> str:
        with self._lock:
            if value not in self._known and len(self._known) >= MOST_LABELS:
                return "other"
            self._known.add(value)
            return value


class _Collector:
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Nothing yet: naming the families at registration would need models that are still loading."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        snapshot = self._snapshot()
        yield _gauge(
            "ready", "1 when models are loaded and have passed their self-check.", snapshot.health is not None
        )
        yield _gauge("waiting_bars", "Bars accepted and not answered yet.", snapshot.waiting)
        if snapshot.health is not None:
            yield from _of_health(snapshot.health)
        if snapshot.journal is not None:
            yield from _of_journal(snapshot.journal)
        yield _labelled(
            "alert",
            "1 for an alert of the monitor over the last day.",
            ("name", "level"),
            (((alert.name, alert.level), 1.0) for alert in snapshot.alerts),
        )


def _of_health(health: Health) -> Iterator[Metric]:
    yield _gauge("symbols", "Symbols with a history.", health.symbols)
    yield _gauge("symbols_ready", "Symbols whose window is full.", health.ready)
    yield _gauge("symbols_stale", "Symbols whose newest bar closed too long ago.", len(health.stale))
    yield _gauge("problems", "Problems that the Arbiter reports.", len(health.problems))
    yield _gauge("clock_jump_seconds", "How far the system's clock has jumped.", health.clock_jump_ms / 1000)
    states = {member.name: member for member in health.members}
    yield _labelled(
        "member_up",
        "1 where a member is asked for its vote.",
        ("member",),
        (((name,), float(member.state in ("ready", "trying"))) for name, member in states.items()),
    )
    yield _labelled(
        "member_failures",
        "Failures of a member in a row; the circuit breaker opens at a few.",
        ("member",),
        (((name,), float(member.failures)) for name, member in states.items()),
    )
    worst: dict[str, tuple[float, float]] = {}
    for drift in health.drift:
        worst[drift.feature] = max(worst.get(drift.feature, (0.0, 0.0)), (drift.score, drift.limit))
    yield _labelled(
        "drift_score",
        "Drift of a feature, of the symbol where it is worst.",
        ("feature",),
        (((feature,), score) for feature, (score, _) in worst.items()),
    )
    yield _labelled(
        "drift_limit",
        "Drift beyond which training never looked like this.",
        ("feature",),
        (((feature,), limit) for feature, (_, limit) in worst.items()),
    )
    info = GaugeMetricFamily(f"{PREFIX}_model_info", "Hash of the models in use.", labels=("model_hash",))
    info.add_metric((health.model_hash,), 1.0)
    yield info


def _of_journal(state: JournalState) -> Iterator[Metric]:
    yield _gauge("journal_pending", "Entries accepted and not on disk yet.", state.pending)
    yield _gauge("journal_fault", "1 while the journal cannot be written.", bool(state.fault))
    yield _gauge("journal_bytes", "Size of the journal on disk.", state.bytes)
    yield _gauge("journal_decisions", "Decisions in the journal.", state.decisions)
    yield _gauge("journal_outcomes", "Outcomes in the journal.", state.outcomes)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=float(value))


def _labelled(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
