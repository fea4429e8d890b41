"""The leaderboard as one page: a table a task, without scripts or network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import CheckResult, Judgement
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.html import Row, cells, document, folded, paragraph, section, table
from quantum_trader.evaluate.report.summary import findings
from quantum_trader.evaluate.suite.tasks import Claim
from quantum_trader.evaluate.sweep.leaderboard import LeaderboardRow

_SEEDS = "The median seed by net return; beside it lowest and highest of the seeds. "
_CLAIMS: dict[Claim, str] = {
    "edge": "An edge is planted here, and known: who does not find it has not learnt.",
    "nobody": "Nothing can be known here: nobody may win.",
    "open": "Whether anything can be known here is open.",
}


@dataclass(frozen=True, kw_only=True)
class TaskBoard:
    """A task's leaderboard."""

    name: str
    """Name of the task."""
    title: str
    """What it is, one line."""
    claim: Claim
    """What can be known in it."""
    data: str
    """Hash of bars and costs."""
    folds: int
    """Test slices."""
    judgement: Judgement
    """Everything measured."""
    rows: tuple[LeaderboardRow, ...]
    """Best first, by log-loss skill; then what failed, then the baselines."""
    checks: tuple[CheckResult, ...] = ()
    """The mechanical checks asked of its data."""


def leaderboard_page(name: str, boards: Sequence[TaskBoard], seconds: float) -> str:
    """The page as text."""
    body = "".join(_task(board) for board in boards)
    tasks = ", ".join(board.name for board in boards)
    took = f"{tasks}: {seconds / 60:.1f} minutes by the command that wrote this page."
    head = f"<header><h1>{escape(f'Leaderboard: {name}')}</h1>{paragraph(took, 'subtitle')}</header>"
    return document(f"Leaderboard: {name}", head + body)


def _task(board: TaskBoard) -> str:
    judged = board.judgement
    when = (
        f"{_counted(board.folds, 'fold')}, {text.minute(judged.start_ms)} to {text.minute(judged.end_ms)} "
        f"UTC, {_counted(len(judged.symbols), 'symbol')}. {_CLAIMS[board.claim]}"
    )
    found = "".join(paragraph(sentence) for sentence in findings(judged, board.checks))
    asked = [check for check in board.checks if check.passed is not None]
    passed = sum(bool(check.passed) for check in asked)
    checks = f", mechanical checks passed: {passed} of {len(asked)}" if asked else ""
    return section(
        f"{board.name}: {board.title}",
        paragraph(when),
        _failures(board),
        _knowledge(board),
        _money(board),
        _tail(board),
        folded("What was found, in words", found),
        paragraph(f"Hash of the data: {board.data[:16]}{checks}.", "note"),
        _report(board),
    )


def _report(board: TaskBoard) -> str:
    """Where everything about the task stands, from beside this page."""
    target = f"tasks/{quote(board.name)}/report.html"
    return f'<p class="note"><a href="{target}">All about {escape(board.name)}</a></p>'


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _knowledge(board: TaskBoard) -> str:
    rows = [
        Row(
            cells=cells(
                _name(row),
                (_number(row.log_loss, 4), _range(row, row.log_loss_range)),
                _share(row.log_loss_skill),
                _share(row.direction),
                _share(row.direction_10),
                _share(row.direction_1),
                _number(row.calibration_error, 3),
                _number(row.edge_share, 2),
                _number(row.seconds_fit, 1),
                _number(row.seconds_answer, 1),
                _number(row.peak_megabytes, 0),
            ),
            style="" if row.role == "learner" else "baseline",
        )
        for row in board.rows
        if row.log_loss is not None
    ]
    return table(
        "What they know.",
        "Log-loss: median over the seeds, below it their range. Direction: how often the likelier of BUY and "
        "SELL is right where the label is not HOLD, over all and on the most confident tenth and hundredth. "
        "Other small figures are 95 % intervals. Seconds are of all folds of one seed.",
        (
            *("agent", "log-loss", "skill", "direction", "top 10 %", "top 1 %", "ECE", "edge found"),
            *("fit, s", "answer, s", "peak, MB"),
        ),
        rows,
    )


def _money(board: TaskBoard) -> str:
    several = any(row.seeds > 1 for row in board.rows)
    rows = [
        Row(
            cells=cells(
                _name(row),
                _share(row.total_return),
                *([_range(row, row.return_range, as_percent=True)] if several else []),
                _number(row.folds_positive, 0),
                _plain(row.sharpe),
                _number(row.deflated_sharpe, 2),
                _percent(row.max_drawdown),
                _number(row.trades, 0),
                _share(row.win_rate),
                _percent(row.break_even_win_rate),
                _number(row.beats_chance, 2),
            ),
            style="" if row.role == "learner" else "baseline",
        )
        for row in board.rows
        if row.total_return is not None
    ]
    return table(
        "What they earn after all costs.",
        f"{_SEEDS if several else ''}Deflated: probability "
        "that the Sharpe ratio is better than the best of all trials in the ledger would be by luck. Beats "
        "chance: share of the coin flips with the agent's own turnover that earned less.",
        (
            *("agent", "net return", *(["of seeds"] if several else []), "folds won", "Sharpe", "deflated"),
            *("drawdown", "trades"),
            *("win rate", "break-even", "beats chance"),
        ),
        rows,
    )


def _tail(board: TaskBoard) -> str:
    rows = [
        Row(
            cells=cells(
                _name(row),
                *(
                    cell
                    for top in (row.top_10, row.top_1)
                    if top is not None
                    for cell in (
                        _number(top.trades, 0),
                        _share(top.win_rate),
                        _percent(top.break_even_win_rate),
                        _percent(top.total_return),
                    )
                ),
            )
        )
        for row in board.rows
        if row.top_10 is not None and row.top_1 is not None
    ]
    if not rows:
        return ""
    return table(
        "The most confident signals, traded.",
        "Only the tenth and the hundredth of all rows with the highest directional confidence. Which those "
        "are is known afterwards only: this says what the tail was worth.",
        (
            "agent",
            *("trades, 10 %", "win rate", "break-even", "net return"),
            *("trades, 1 %", "win rate", "break-even", "net return"),
        ),
        rows,
    )


def _failures(board: TaskBoard) -> str:
    return "".join(
        paragraph(f"{row.agent}{', some seeds' if row.seeds else ''} failed: {row.failure}")
        for row in board.rows
        if row.failure
    )


def _name(row: LeaderboardRow) -> str | tuple[str, str]:
    return (row.agent, f"{row.seeds} seeds") if row.seeds > 1 else row.agent


def _number(value: float | None, digits: int) -> str:
    return text.UNDEFINED if value is None else text.number(value, digits)


def _percent(value: float | None) -> str:
    return text.UNDEFINED if value is None else text.percent(value)


def _share(interval: Interval | None) -> str | tuple[str, str]:
    if interval is None:
        return text.UNDEFINED
    return text.percent(interval.estimate), text.bounds(interval)


def _plain(interval: Interval | None) -> str | tuple[str, str]:
    if interval is None:
        return text.UNDEFINED
    return text.number(interval.estimate), text.bounds(interval, digits=2, as_percent=False)


def _range(row: LeaderboardRow, pair: tuple[float, float] | None, *, as_percent: bool = False) -> str:
    """Lowest and highest of the seeds; nothing where there is one."""
    if pair is None or row.seeds < 2:
        return ""
    low, high = (text.percent(value) if as_percent else text.number(value, 4) for value in pair)
    return f"{low} … {high}"
