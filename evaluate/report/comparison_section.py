"""The section on luck: agents against each other, and Sharpe ratios against the number of tries."""

from __future__ import annotations

import math

from quantum_trader.evaluate.records import AgentJudgement, Comparison, Judgement, PairedTest, SharpeTest
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.html import Cell, Row, cells, folded, paragraph, section, table
from quantum_trader.evaluate.report.tables import with_seeds_folded

DEFLATED = 0.95
"""Deflated Sharpe ratio from which on one is taken for more than the best of many tries."""
SIGNIFICANT = 0.05
"""p-value below which a test is said to have found something."""
OVERFITTING = 0.2
"""Probability of backtest overfitting above which the choice of the best agent is not to be trusted."""
_PAIRS = 20


def comparison_section(judgement: Judgement) -> str:
    """All agents together, Sharpe ratios with their tests, pairs; empty where nothing was tested."""
    found = judgement.comparison
    together = "" if found is None else "".join(paragraph(part) for part in _together(found))
    pairs = "" if found is None else pair_tables(found)
    return section("Skill or luck", together, sharpe_table(judgement), pairs)


def spa_sentence(found: Comparison) -> str:
    """The test for superior predictive ability in words; empty where it was not made."""
    if not math.isfinite(found.spa_p):
        return ""
    verdict = (
        f"at least one agent's mean return exceeds that of {found.spa_benchmark} by more than luck explains"
        if found.spa_p < SIGNIFICANT
        else f"no agent's mean return is shown to exceed that of {found.spa_benchmark}"
    )
    stated = p_value(found.spa_p)
    return (
        f"Superior predictive ability, all agents at once against {found.spa_benchmark}: "
        f"p {stated if stated.startswith('<') else f'= {stated}'}; {verdict}."
    )


def overfitting_sentence(found: Comparison) -> str:
    """The probability of backtest overfitting in words; empty where it was not computed."""
    if not math.isfinite(found.overfitting):
        return ""
    verdict = (
        "the choice of the best agent by its past is not to be trusted"
        if found.overfitting > OVERFITTING
        else "the choice of the best agent by its past mostly holds"
    )
    return (
        "Probability of backtest overfitting: the agent that is best on one half of the time is below the "
        f"median on the other half in {text.percent(found.overfitting, 0)} of the splits; {verdict}."
    )


def p_value(value: float) -> str:
    """Three decimals, and no false zero."""
    if not math.isfinite(value):
        return text.UNDEFINED
    return "< 0.001" if value < 0.001 else text.number(value, 3)


def _together(found: Comparison) -> list[str]:
    parts = [spa_sentence(found), overfitting_sentence(found)]
    if parts[1]:
        parts[1] += f" {found.overfitting_blocks} blocks of time were combined."
    return [part for part in parts if part]


def sharpe_table(judgement: Judgement) -> str:
    """Every agent's Sharpe ratio with the probability that it is not luck; empty where none was tested."""
    tested = [agent for agent in judgement.agents if agent.sharpe_test is not None]
    if not tested:
        return ""
    header = ("agent", "Sharpe", "probabilistic", "deflated", "expected maximum", "trials", "years needed")
    caption = (
        "Probabilistic: probability that the true Sharpe ratio is above zero, given how skewed and "
        "heavy-tailed the returns are. Deflated: the same above the best that as many trials without skill "
        f"would show, which is the expected maximum; from {DEFLATED:.2f} on it counts as more than luck. "
        "Years needed: of such returns, before the probabilistic one reaches 0.95."
    )
    return with_seeds_folded(
        "Sharpe ratios.",
        caption,
        header,
        tested,
        lambda agent: _sharpe_row(agent, agent.sharpe_test),
    )


def _sharpe_row(agent: AgentJudgement, test: SharpeTest | None) -> Row:
    assert test is not None  # only tested agents are in the table
    return Row(
        cells=cells(
            agent.name,
            (text.number(agent.trading.sharpe), text.bounds(agent.sharpe, as_percent=False)),
            text.number(test.probabilistic, 3),
            text.number(test.deflated, 3),
            text.number(test.expected_maximum),
            text.count(test.trials),
            text.number(test.years_needed, 1),
        )
    )


def pair_tables(found: Comparison) -> str:
    """Agents two by two; the first twenty pairs are open, the others on demand."""
    if not found.pairs:
        return ""
    header = ("first", "second", "log-loss, first − second", "p", "p of all", "return a year, first − second")
    caption = (
        "Log-loss: mean over the same rows, below zero where the first is better; p: Diebold-Mariano test "
        f"with errors that allow for overlapping labels. One pair in twenty has p < {SIGNIFICANT:.2f} "
        "by luck alone; p of all is adjusted for their number (Holm), so that even one such pair is that "
        "unlikely. Return: mean log return a year on the same bars. Small: intervals, "
        "resampled in pairs."
    )
    rows = [_pair_row(pair) for pair in found.pairs]
    shown = table("Pairs.", caption, header, rows[:_PAIRS])
    rest = table("Pairs.", "The further pairs.", header, rows[_PAIRS:]) if rows[_PAIRS:] else ""
    return shown + folded(f"{len(rows) - _PAIRS} further pairs", rest)


def _pair_row(pair: PairedTest) -> Row:
    loss, returned = pair.log_loss_difference, pair.return_difference
    return Row(
        cells=cells(
            pair.left,
            Cell(text=pair.right, words=True),
            text.UNDEFINED
            if loss is None
            else (
                text.number(loss.estimate, 4, signed=True),
                text.bounds(loss, digits=4, signed=True, as_percent=False),
            ),
            *(
                text.UNDEFINED if p is None else p_value(p)
                for p in (pair.log_loss_p, pair.log_loss_p_adjusted)
            ),
            (text.percent(returned.estimate, signed=True), text.bounds(returned, signed=True)),
        )
    )
