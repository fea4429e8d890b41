"""The report: one HTML page that needs no network and no other file, and can be read without its script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from quantum_trader.envs.files import write_text
from quantum_trader.evaluate.records import Judgement
from quantum_trader.evaluate.report import charts, format as text, tables
from quantum_trader.evaluate.report.candle_script import moving_candles
from quantum_trader.evaluate.report.card_section import card_section, ledger_section
from quantum_trader.evaluate.report.comparison_section import comparison_section
from quantum_trader.evaluate.report.data import ReportData
from quantum_trader.evaluate.report.doubts import named
from quantum_trader.evaluate.report.explain_section import explanation_section
from quantum_trader.evaluate.report.families import families, further_seeds, legend_entries, line_styles
from quantum_trader.evaluate.report.fold_section import fold_section
from quantum_trader.evaluate.report.html import (
    definitions,
    document,
    figure,
    folded,
    legend,
    paragraph,
    section,
)
from quantum_trader.evaluate.report.path_section import path_section
from quantum_trader.evaluate.report.robust_section import regime_section, sensitivity_section
from quantum_trader.evaluate.report.rolling_section import rolling_figures
from quantum_trader.evaluate.report.summary import findings

_FEWEST_TRADES = 30
"""Trades below which a win rate says too little to be drawn."""


def write_report(path: Path, data: ReportData) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, render_report(data))


def render_report(data: ReportData) -> str:
    """The page as text; sections without data are left out."""
    styles = line_styles(data.judgement)
    moving = data.candles is not None and len(data.candles.timestamps) > 0
    body = "".join(
        (
            _head(data),
            card_section(data),
            _data(data),
            _trading(data),
            _equity(data, styles),
            fold_section(data.judgement),
            comparison_section(data.judgement),
            path_section(data.paths),
            sensitivity_section(data.judgement),
            regime_section(data.judgement),
            _signals(data, styles),
            _confidence(data.judgement),
            _candles(data),
            *(explanation_section(found) for found in data.explanations),
            section("Costs", tables.cost_table(data.judgement)),
            _symbols(data.judgement),
            ledger_section(data.trials),
            _details(data),
        )
    )
    return document(data.title, body, moving=moving)


def _head(data: ReportData) -> str:
    found = "".join(paragraph(part) for part in findings(data.judgement, data.checks))
    subtitle = paragraph(data.subtitle, "subtitle") if data.subtitle else ""
    return (
        f"<header><h1>{escape(data.title)}</h1>{subtitle}</header>"
        f'<section class="found"><h2>What was found</h2>{found}</section>'
    )


def _data(data: ReportData) -> str:
    judged = data.judgement
    sentence = (
        f"{len(judged.symbols)} {'symbol' if len(judged.symbols) == 1 else 'symbols'} "
        f"({', '.join(judged.symbols)}), bars of {text.bar_length(judged.step_ms)}. Traded from "
        f"{text.minute(judged.start_ms)} to {text.minute(judged.end_ms)} UTC: a decision at the close of a "
        "bar fills at the open of the next, with fees, slippage and funding."
    )
    notes = "".join(paragraph(note, "note") for note in data.data_notes)
    return section("Data", paragraph(sentence), tables.split_table(data.splits), notes)


def _trading(data: ReportData) -> str:
    judged = data.judgement
    return section("Trading", tables.agent_table(judged), tables.seed_table(judged), _win_rates(judged))


def _win_rates(judgement: Judgement) -> str:
    more = further_seeds(judgement.agents)
    traded = [
        agent
        for agent in judgement.agents
        if agent.trading.trades >= _FEWEST_TRADES and agent.name not in more
    ]
    if not traded:
        return ""
    return figure(
        charts.win_rate_chart(traded),
        "Win rate against break-even.",
        "Dot: share of closed trades with a profit after costs; band: its interval; upright stroke: the "
        "win rate at which the agent's average win and average loss cancel. An agent earns money per "
        "trade where its dot lies right of the stroke, and reliably so where the whole band does. "
        f"Agents with fewer than {_FEWEST_TRADES} trades are left out.",
    )


def _equity(data: ReportData, styles: dict[str, str]) -> str:
    if not data.equity:
        return ""
    # Grey lines first and further seeds next, so that the lines that matter lie on top.
    more = further_seeds(data.judgement.agents)
    drawn = [curve for curve in data.equity if not (curve.name in more and styles[curve.name] == "other")]
    curves = sorted(drawn, key=lambda curve: _layer(styles[curve.name]))
    key = legend(legend_entries(data.judgement, [curve.name for curve in curves]))
    words = "".join(
        f" Surface: {text.percent(band.level, 0)} block-bootstrap interval of {band.name}'s profit up to "
        "each moment; where it holds zero, the profit may be luck."
        for band in data.bands
    )
    return section(
        "Over time",
        figure(
            charts.equity_chart(curves, styles, data.bands),
            "Net profit.",
            "Percent of the initial balance, after all costs, mean of the accounts of all symbols. Each line "
            f"starts at zero; buy-and-hold shows what the market itself did.{words}",
            key,
        ),
        figure(
            charts.drawdown_chart(curves, styles),
            "Drawdown.",
            "Loss since the highest equity so far; same lines as above. Shallow and short is good.",
        ),
        rolling_figures(data.rolling, styles),
    )


def _layer(style: str) -> int:
    return 0 if style == "other" else 1 if "faint" in style else 2 if style == "hold" else 3


def _signals(data: ReportData, styles: dict[str, str]) -> str:
    if not any(agent.signal for agent in data.judgement.agents):
        return ""
    parts = [tables.signal_table(data.judgement)]
    if data.reliability:
        key = legend(legend_entries(data.judgement, [item.name for item in data.reliability]))
        parts.append(
            figure(
                charts.reliability_chart(data.reliability, styles)
                + charts.histogram_chart(data.reliability, styles),
                "Reliability.",
                "Above: how often the likelier of BUY and SELL was right, against how sure the agent was, "
                "in 15 bins of equal size; on the dashed diagonal confidence means what it says, below it "
                "the agent is too sure of itself. Below: how often each confidence was stated.",
                key,
            )
        )
    if data.coverage:
        key = legend(legend_entries(data.judgement, [item.name for item in data.coverage]))
        parts.append(
            figure(
                charts.coverage_chart(data.coverage, styles),
                "Accuracy against coverage.",
                "Direction accuracy when only the most confident share of rows is answered. A useful "
                "confidence lifts the line towards the left; the grey line is a coin.",
                key,
            )
        )
    return section("Signals before trading", *parts)


def _confidence(judgement: Judgement) -> str:
    rated = [family.first for family in families(judgement.agents) if family.first.confidence]
    if not rated:
        return ""
    words = (
        "A gate answers HOLD unless the confidence reaches a threshold. Directional confidence is "
        "max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)). Another line asks that P(BUY) or P(SELL) "
        "itself reach 0.65, which honest three-class probabilities of hourly bars hardly ever do. "
        "Trades of all symbols together; the shaded line is the threshold chosen on validation rows."
    )
    first, *others = (tables.confidence_table(agent) for agent in rated)
    rest = folded(
        f"The same for {named([agent.name for agent in rated[1:]], 'other agents')}", "".join(others)
    )
    return section("Confidence thresholds", paragraph(words), first, rest)


def _candles(data: ReportData) -> str:
    if data.candles is None or len(data.candles.timestamps) == 0:
        return ""
    shown = data.candles
    return section(
        f"Signals on {shown.symbol}",
        figure(
            moving_candles(shown, charts.candle_chart(shown)),
            f"{shown.agent} on the last test bars.",
            "Hollow candles rose, filled ones fell. Upward triangle below a bar: BUY at its close; downward "
            "triangle above a bar: SELL. Orders fill at the next open.",
        ),
    )


def _symbols(judgement: Judgement) -> str:
    several = len(judgement.symbols) > 1
    return section("By symbol", tables.symbol_table(judgement)) if several else ""


def _details(data: ReportData) -> str:
    config = data.judgement.bootstrap
    drawn = (
        ("method", "stationary block bootstrap"),
        ("mean block", f"{text.number(config.block_bars, 0)} bars"),
        ("resamples", text.count(config.draws)),
        ("level", text.percent(config.level, 0)),
        ("seed", str(config.seed)),
    )
    groups: Sequence[str] = [definitions(group.title, group.rows) for group in data.details]
    lists = "".join([*groups, definitions("Intervals", drawn)])
    return section("Run details", f'<div class="details">{lists}</div>')
