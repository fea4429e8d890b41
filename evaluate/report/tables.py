"""The tables of the report, one function each."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.evaluate.records import AgentJudgement, Judgement, SignalMetrics
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.data import SplitSummary
from quantum_trader.evaluate.report.html import Cell, Row, cells, table


def split_table(splits: Sequence[SplitSummary]) -> str:
    """Which rows the agents learnt from and which they were judged on."""
    rows = [
        Row(
            cells=cells(
                split.name,
                text.minute(split.start_ms),
                text.minute(split.end_ms),
                text.count(split.rows),
                *(text.percent(share) for share in split.shares),
            )
        )
        for split in splits
    ]
    header = ("split", "first decision (UTC)", "last decision (UTC)", "rows", "HOLD", "BUY", "SELL")
    caption = (
        "Rows of all symbols; those whose label would look into the next split are left out. "
        "The last three columns are the shares of the labels."
    )
    return table("Splits.", caption, header, rows) if rows else ""


def agent_table(judgement: Judgement) -> str:
    """The main table: what every agent earned, and whether that is more than chance."""
    rows = [Row(cells=_agent_cells(agent), style=style) for agent, style in _ordered(judgement.agents)]
    header = (
        "agent",
        "net return",
        "Sharpe",
        "max drawdown",
        "trades",
        "win rate",
        "break-even",
        "beats chance",
        "over buy-and-hold",
        "costs",
        "HOLD / BUY / SELL",
    )
    caption = (
        f"Net of all costs, over the equal-weight portfolio of {len(judgement.symbols)} "
        f"{'account' if len(judgement.symbols) == 1 else 'accounts, one a symbol'}; baselines in grey. "
        f"Small figures: {text.percent(judgement.bootstrap.level, 0)} intervals by block bootstrap. Win "
        "rate: share of closed trades with a profit after costs; it has to exceed break-even, which "
        "follows from the agent's own average win and loss. Beats chance: share outdone of its own "
        "decisions moved to random other moments. Over buy-and-hold: difference in log return a year. "
        "Costs: percent of the initial balance. Last column: shares of its decisions."
    )
    return table("All agents on the test rows.", caption, header, rows)


def _agent_cells(agent: AgentJudgement) -> tuple[Cell, ...]:
    trading, flips, excess = agent.trading, agent.coin_flips, agent.excess_over_hold
    return cells(
        agent.name,
        (text.percent(trading.total_return, signed=True), text.bounds(agent.total_return, signed=True)),
        (text.number(trading.sharpe), text.bounds(agent.sharpe, as_percent=False)),
        text.percent(trading.max_drawdown),
        text.count(trading.trades),
        (text.percent(agent.win_rate.estimate), text.bounds(agent.win_rate)),
        text.percent(trading.break_even_win_rate),
        text.percent(flips.return_percentile, 0) if flips is not None else text.UNDEFINED,
        (text.percent(excess.estimate, signed=True), text.bounds(excess, signed=True))
        if excess is not None
        else text.UNDEFINED,
        text.percent(trading.costs.total),
        " / ".join(text.percent(share, 0) for share in agent.decision_shares),
    )


def signal_table(judgement: Judgement) -> str:
    """How good the probabilities are, before any trading."""
    rated = [agent for agent in judgement.agents if agent.signal is not None]
    rows = [
        Row(cells=_signal_cells(agent.name, agent.signal), style=style)
        for agent, style in _ordered(rated)
        if agent.signal is not None
    ]
    header = (
        "agent",
        "log-loss",
        "skill",
        "accuracy",
        "MCC",
        "direction, all",
        "top 10 %",
        "top 1 %",
        "ECE",
        "rank IC",
        "HOLD / BUY / SELL",
    )
    shares = (
        " / ".join(text.percent(share, 0) for share in rated[0].signal.label_shares)
        if rated[0].signal
        else ""
    )
    caption = (
        f"{text.count(rated[0].signal.rows) if rated[0].signal else ''} labelled rows. Skill: share of the "
        "log-loss removed from that of the training shares of the classes; zero is no knowledge. "
        "Direction: how often the likelier of BUY and SELL is right on rows that moved, and on their most "
        "confident tenth and hundredth; half is no knowledge. ECE: mean gap between stated and met "
        "frequency. Rank IC: correlation of P(BUY) − P(SELL) with the return over the next "
        f"{judgement.horizon_bars} bars. Last column: shares of the most probable action; the labels have "
        f"{shares}."
    )
    return table("Quality of the probabilities.", caption, header, rows)


def _signal_cells(name: str, signal: SignalMetrics) -> tuple[Cell, ...]:
    return cells(
        name,
        text.number(signal.log_loss, 4),
        (
            text.percent(signal.log_loss_skill.estimate, 2, signed=True),
            text.bounds(signal.log_loss_skill, digits=2, signed=True),
        ),
        text.percent(signal.accuracy),
        text.number(signal.matthews_correlation, 3),
        *(
            (text.percent(rate.estimate), text.bounds(rate))
            for rate in (signal.direction_accuracy, signal.direction_accuracy_10, signal.direction_accuracy_1)
        ),
        text.percent(signal.calibration_error),
        text.number(signal.rank_ic, 3),
        " / ".join(text.percent(share, 0) for share in signal.signal_shares),
    )


def confidence_table(agent: AgentJudgement) -> str:
    """What gates at several thresholds would have done with one agent's probabilities."""
    rows = [
        Row(
            cells=cells(
                f"{'P(BUY) or P(SELL)' if row.measure == 'three-class' else 'directional'} ≥ "
                f"{row.threshold:.3g}" + (" (chosen)" if row.chosen else ""),
                text.percent(row.coverage, 2),
                text.count(row.trades),
                (text.percent(row.win_rate.estimate), text.bounds(row.win_rate)),
                text.percent(row.break_even_win_rate),
                text.percent(row.total_return, signed=True),
            ),
            style="chosen" if row.chosen else "",
        )
        for row in agent.confidence
    ]
    header = ("trade where", "share of bars", "trades", "win rate", "break-even", "net return")
    hold = min(row.hold_threshold for row in agent.confidence)
    caption = f"Directional lines also ask that P(HOLD) be below {hold:.3g}." if hold < 1 else ""
    return table(f"{agent.name}.", caption, header, rows)


def cost_table(judgement: Judgement) -> str:
    """Where the costs went."""
    rows = [Row(cells=_cost_cells(agent), style=style) for agent, style in _ordered(judgement.agents)]
    header = (
        "agent",
        "fees",
        "slippage",
        "funding",
        "liquidation",
        "total",
        "turnover",
        "exposure",
        "liquidations",
        "profit factor",
        "per trade",
    )
    caption = (
        "Percent of the initial balance; negative funding was received. Turnover: notional traded over mean "
        "equity. Exposure: share of bars in the market. Profit factor: sum of wins over sum of losses. Per "
        "trade: mean net profit as a share of the notional."
    )
    return table("Costs and activity.", caption, header, rows)


def _cost_cells(agent: AgentJudgement) -> tuple[Cell, ...]:
    trading, costs = agent.trading, agent.trading.costs
    return cells(
        agent.name,
        *(
            text.percent(value, 2)
            for value in (costs.fees, costs.slippage, costs.funding, costs.liquidation, costs.total)
        ),
        f"{text.number(trading.turnover, 0)}×",
        text.percent(trading.exposure, 0),
        text.count(trading.liquidations),
        text.number(trading.profit_factor),
        text.percent(trading.expectancy, 3, signed=True),
    )


def symbol_table(judgement: Judgement) -> str:
    """Net return of every agent on every symbol."""
    shown = [agent for agent, _ in _ordered(judgement.agents)]
    rows = [
        Row(
            cells=cells(
                symbol,
                *(text.percent(agent.symbols[index].trading.total_return, signed=True) for agent in shown),
            )
        )
        for index, symbol in enumerate(judgement.symbols)
    ]
    positive = cells(
        "symbols in profit",
        *(
            text.percent(
                sum(entry.trading.total_return > 0 for entry in agent.symbols) / len(agent.symbols), 0
            )
            for agent in shown
        ),
    )
    header = ("symbol", *(agent.name for agent in shown))
    return table("Net return by symbol.", "", header, [*rows, Row(cells=positive, style="chosen")])


def _ordered(agents: Sequence[AgentJudgement]) -> list[tuple[AgentJudgement, str]]:
    """Learners before baselines, each with its row style."""
    learners = [(agent, "") for agent in agents if agent.role == "learner"]
    baselines = [agent for agent in agents if agent.role == "baseline"]
    styles = ["baseline first-baseline"] + ["baseline"] * len(baselines)
    return learners + list(zip(baselines, styles, strict=False))
