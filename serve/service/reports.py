"""Monitor reports of the journal, kept for a few seconds: pages and Prometheus ask again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from quantum_trader.agents.clock import system_ms
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.records import Alert, MonitorReport
from quantum_trader.serve.monitor.report import monitor

_log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
ALERT_HOURS = 720.0
"""Range that alerts are judged on: those about results need hundreds of bars."""
ALERT_CACHE_S = 60.0
MOST_KEPT = 16


@dataclass(kw_only=True)
class _Kept:
    """The newest report of one range."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    report: MonitorReport | None = None
    made_s: float = 0.0


class Reports:
    """Makes reports, one at a time for each range, and gives the newest again while it is fresh.

    Args:
        cache_s: seconds for which a report is fresh.
    """

    def __init__(self, *, cache_s: float) -> None:
        self._cache_s = cache_s
        self._kept: OrderedDict[float | None, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def report(
        self, journal: Journal, config: MonitorConfig, hours: float | None, *, fresh_s: float | None = None
    ) -> MonitorReport:
        """The report over the last `hours`, or over everything; blocking.

        Args:
            journal: what is looked at.
            config: of the monitor.
            hours: length of the range.
            fresh_s: how old the report may be, seconds; None takes `cache_s`.

        Raises:
            JournalError: the journal cannot be read.
        """
        kept = self._of(hours)
        with kept.lock:
            age = time.monotonic() - kept.made_s
            if kept.report is None or age > (self._cache_s if fresh_s is None else fresh_s):
                now_ms = system_ms()
                since_ms = None if hours is None else now_ms - int(hours * HOUR_MS)
                fault = journal.state().fault
                kept.report = monitor(journal.reader, config, now_ms=now_ms, since_ms=since_ms, fault=fault)
                kept.made_s = time.monotonic()
            return kept.report

    def alerts(self, journal: Journal, config: MonitorConfig) -> tuple[Alert, ...]:
        """Alerts over the last thirty days; none without a report: other figures must not fail with it."""
        try:
            return self.report(journal, config, ALERT_HOURS, fresh_s=ALERT_CACHE_S).alerts
        except Exception:
            _log.exception("no report for the alerts")
            return ()

    def _of(self, hours: float | None) -> _Kept:
        with self._lock:
            kept = self._kept.setdefault(hours, _Kept())
            self._kept.move_to_end(hours)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return kept
