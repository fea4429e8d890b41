"""`monitor`: one look at a journal, every figure and alert of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.journal.records import JournalRow
from quantum_trader.serve.monitor import figures
from quantum_trader.serve.monitor.alerts import alerts
from quantum_trader.serve.monitor.calls import latency_figures
from quantum_trader.serve.monitor.columns import read_table
from quantum_trader.serve.monitor.config import DEFAULTS, MonitorConfig
from quantum_trader.serve.monitor.newest import (
    explanation_of,
    latest_of,
    newest_ms_of,
    read_explanation,
    read_latest,
    read_newest_ms,
    read_step_ms,
)
from quantum_trader.serve.monitor.records import Explanation, LatestDecision, MonitorReport
from quantum_trader.serve.monitor.situation import Situation
from quantum_trader.serve.monitor.table import Table, table_of


def monitor(
    journal: JournalReader | Path | str,
    config: MonitorConfig = DEFAULTS,
    *,
    now_ms: int,
    since_ms: int | None = None,
    until_ms: int | None = None,
    symbols: Sequence[str] | None = None,
    fault: str = "",
) -> MonitorReport:
    """Look at a journal, or at a part of it.

    Args:
        journal: a reader, or the path of the journal's file.
        config: levels of intervals and limits of alerts.
        now_ms: the time it is, milliseconds since the epoch, UTC.
        since_ms: first bar looked at, by its open; None from the beginning.
        until_ms: bars from here on are left out; None to the end. Where it lies before `now_ms`, nobody is
            missed and nothing is said about staleness.
        symbols: None for all.
        fault: `JournalState.fault` of the process that writes the journal, which alone knows it.

    Returns:
        Figures are NaN where nothing is known; `quantum_trader.evaluate.records.to_json` makes them null.

    Raises:
        JournalError: the file is missing, damaged, no journal, or newer than this software.
    """
    if not isinstance(journal, JournalReader):
        with JournalReader(Path(journal)) as reader:
            return monitor(
                reader,
                config,
                now_ms=now_ms,
                since_ms=since_ms,
                until_ms=until_ms,
                symbols=symbols,
                fault=fault,
            )
    names = None if symbols is None else tuple(symbols)
    chosen = Selection(since_ms=since_ms, until_ms=until_ms, symbols=names)
    current = until_ms is None or until_ms > now_ms
    table = read_table(journal, chosen)
    found = _Found(
        table=table,
        step_ms=config.step_ms or table.counted.step_ms or read_step_ms(journal),
        latest=read_latest(journal, chosen),
        explanation=read_explanation(journal, chosen),
        newest_ms=read_newest_ms(journal, symbols) if current else {},
    )
    return _report(found, config, chosen, now_ms, fault)


def monitor_rows(
    rows: Sequence[JournalRow],
    config: MonitorConfig = DEFAULTS,
    *,
    now_ms: int,
    fault: str = "",
) -> MonitorReport:
    """`monitor` of rows that are in memory already, in any order."""
    table = table_of(rows)
    found = _Found(
        table=table,
        step_ms=config.step_ms or table.counted.step_ms,
        latest=latest_of(rows),
        explanation=explanation_of(rows),
        newest_ms=newest_ms_of(rows),
    )
    return _report(found, config, Selection(), now_ms, fault)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was read."""

    table: Table
    step_ms: int
    latest: tuple[LatestDecision, ...]
    explanation: Explanation | None
    newest_ms: dict[str, int]


def _report(
    found: _Found, config: MonitorConfig, chosen: Selection, now_ms: int, fault: str
) -> MonitorReport:
    table = found.table
    situation = Situation(
        table=table,
        config=config,
        now_ms=now_ms,
        step_ms=found.step_ms,
        newest_ms=found.newest_ms,
        fault=fault,
    )
    shadow = situation.shadow
    present = np.unique(table.symbol.codes)
    return MonitorReport(
        generated_ms=now_ms,
        since_ms=chosen.since_ms,
        until_ms=chosen.until_ms,
        symbols=tuple(sorted(table.symbol.names[code] for code in present)),
        arbiter=figures.agent_figures(situation.arbiter, situation.moments, config),
        shadow=None if shadow is None else figures.agent_figures(shadow, situation.moments, config),
        difference=None if shadow is None else figures.daily_difference(situation.arbiter, shadow, config),
        latency=latency_figures(situation.counted),
        confidence_histogram=figures.confidence_histogram(situation.arbiter),
        by_source=table.source.counts(),
        by_reason=table.reason.counts(),
        model_hashes=table.model.counts(),
        alerts=alerts(situation),
        latest=found.latest,
        explanation=found.explanation,
    )
