"""A `MonitorReport` as plain text for a terminal of 100 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.serve.monitor.records import AgentFigures, Explanation, LatestDecision, MonitorReport
from quantum_trader.serve.monitor.words import TOO_FEW, at, interval, percent, some

WIDTH = 100
_LATEST = 10
_REASONS = 8
_BARS = " .:-=+*#%@"
"""From nothing to most; plain ASCII, which every terminal and log can show."""


def report_text(report: MonitorReport) -> str:
    """The whole report, alerts first."""
    parts = [
        _head(report),
        _alerts(report),
        _deciders(report),
        _calibration(report.arbiter),
        _histogram(report.confidence_histogram),
        _counts("decisions by source", report.by_source),
        _counts("decisions by reason", report.by_reason),
        _latest(report.latest),
        _explanation(report.explanation),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(report: MonitorReport) -> str:
    since = at(report.since_ms) if report.since_ms is not None else "the beginning"
    until = at(report.until_ms) if report.until_ms is not None else "now"
    latency = report.latency
    lines = [
        f"journal at {at(report.generated_ms)} UTC, bars from {since} to {until}",
        _symbols(report.symbols),
        f"models   {some([f'{name[:12]} ({count:,})' for name, count in report.model_hashes.items()], 3)}",
        f"latency  p50 {_ms(latency.p50)}, p99 {_ms(latency.p99)}, highest {_ms(latency.highest)}",
    ]
    return "\n".join(line[:WIDTH] for line in lines)


def _symbols(names: Sequence[str]) -> str:
    """As many names as fit the line, and how many more there are."""
    for most in range(min(len(names), 8), 0, -1):
        line = f"symbols  {len(names)}: {some(names, most)}"
        if len(line) <= WIDTH:
            return line
    return f"symbols  {len(names)}" if names else "symbols  none"


def _alerts(report: MonitorReport) -> str:
    if not report.alerts:
        return "no alerts"
    lines = []
    for alert in report.alerts:
        lines += textwrap.wrap(
            f"{alert.level.upper()} {alert.name}: {alert.message}", WIDTH, subsequent_indent="    "
        )
    return "\n".join(lines)


def _deciders(report: MonitorReport) -> str:
    """A row a figure, a column a decider."""
    known = [report.arbiter] + ([report.shadow] if report.shadow is not None else [])
    rows = [[name, *(_figure(name, figures) for figures in known)] for name in _FIGURES]
    head = ["", *(figures.agent if figures.agent == "arbiter" else "xgboost alone" for figures in known)]
    lines = ["".join(f"{cell:<34}" for cell in row).rstrip() for row in (head, *rows)]
    if report.difference is not None:
        found = interval(report.difference, 3)
        lines.append(f"{'net return a day, difference':<34}{found}  (arbiter less xgboost)")
    return "\n".join(line[:WIDTH] for line in lines)


_FIGURES = {
    "decisions (outcome known)": lambda f: f"{f.decisions:,} ({f.resolved:,})",
    "BUY / SELL / HOLD": lambda f: " / ".join(percent(f.shares[name], 0) for name in ("BUY", "SELL", "HOLD")),
    "average confidence": lambda f: _number(f.average_confidence),
    "closed trades, not overlapping": lambda f: f"{f.trades:,}",
    "win rate": lambda f: interval(f.win_rate),
    "win rate to break even": lambda f: _unsure(percent(f.break_even), f.win_rate),
    "net return of a trade": lambda f: interval(f.net_return, 3),
    "net return, sum": lambda f: percent(f.total_return, 2),
    "gross return, sum": lambda f: percent(f.gross_return, 2),
    "direction accuracy": lambda f: interval(f.direction_accuracy),
    "false positives": lambda f: interval(f.false_positive_rate),
    "calibration error": lambda f: percent(f.calibration_error) if f.calibration else TOO_FEW,
}


def _figure(name: str, figures: AgentFigures) -> str:
    # An interval that could not be drawn is said in the fewest words that fit the column.
    return _FIGURES[name](figures).replace(f"{TOO_FEW} for an interval", TOO_FEW)


def _unsure(said: str, beside: Interval) -> str:
    """A figure without an interval of its own, marked where the one beside it has none for want of trades."""
    return said if said == "n/a" or math.isfinite(beside.low) else f"{said} ({TOO_FEW})"


def _calibration(figures: AgentFigures) -> str:
    if not figures.calibration:
        return ""
    lines = ["confidence            rows    stated     right"]
    lines += [
        f"{each.low:.3f} to {each.high:.3f}  {each.count:>8,}  {percent(each.confidence):>8}  "
        f"{percent(each.accuracy):>8}"
        for each in figures.calibration
    ]
    return "\n".join(lines)


def _histogram(counts: tuple[int, ...]) -> str:
    most = max(counts, default=0)
    if most == 0:
        return ""
    bars = "".join(_BARS[math.ceil(count / most * (len(_BARS) - 1))] for count in counts)
    return f"confidence of BUY and SELL, 0.5 to 1: |{bars}|  most in one bin {most:,}"


def _counts(title: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    total = sum(counts.values())
    shown = list(counts.items())[:_REASONS]
    lines = [title, *(f"  {count:>10,}  {percent(count / total):>7}  {name}" for name, count in shown)]
    rest = len(counts) - len(shown)
    lines += [f"  and {rest} more kinds"] if rest > 0 else []
    return "\n".join(line[:WIDTH] for line in lines)


def _latest(decisions: Iterable[LatestDecision]) -> str:
    newest = sorted(decisions, key=lambda each: (-each.decided_ms, each.symbol))
    if not newest:
        return ""
    lines = ["newest decisions"]
    lines += [
        f"  {at(each.bar_ms)}  {each.symbol:<12} {each.action:<4} {each.confidence:.3f}  {each.reason}"
        for each in newest[:_LATEST]
    ]
    rest = len(newest) - _LATEST
    lines += [f"  and {rest} more symbols"] if rest > 0 else []
    return "\n".join(line[:WIDTH] for line in lines)


def _explanation(found: Explanation | None) -> str:
    if found is None:
        return ""
    lines = [f"behind {found.symbol} at {at(found.bar_ms)}"]
    if found.importances:
        top = sorted(found.importances.items(), key=lambda item: -item[1])[:5]
        lines.append("  importances  " + ", ".join(f"{name} {percent(share, 0)}" for name, share in top))
    if found.attention:
        most = max(found.attention) or 1.0
        bars = "".join(_BARS[math.ceil(max(each, 0.0) / most * (len(_BARS) - 1))] for each in found.attention)
        lines.append(f"  attention    |{bars}|  oldest bar to newest")
    return "\n".join(line[:WIDTH] for line in lines)


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if math.isfinite(value) else "n/a"


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "n/a"
