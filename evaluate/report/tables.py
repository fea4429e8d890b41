"""The tables of the report, one function each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from quantum_trader.evaluate.records import AgentJudgement, ConfidenceRow, Judgement, SignalMetrics
from quantum_trader.evaluate.report import format as text
from quantum_trader.evaluate.report.data import SplitSummary
from quantum_trader.evaluate.report.families import Family, families, further_seeds
from quantum_trader.evaluate.report.html import Cell, Row, cells, folded, table


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
    lead = "All agents on the test rows."
    return with_seeds_folded(
        lead, caption, header, judgement.agents, lambda agent: Row(cells=_agent_cells(agent))
    )


def seed_table(judgement: Judgement) -> str:
    """Median and range over the seeds of every agent trained with several; empty where none was."""
    several = [family for family in families(judgement.agents) if len(family.agents) > 1]
    header = ("agent", "seeds", "net return", "Sharpe", "trades", "win rate", "log-loss", "direction")
    caption = (
        "Median over the seeds; small: lowest and highest. One seed may be lucky: the median is what "
        "training gives, and a range across zero is luck of the draw."
    )
    rows = [Row(cells=_seed_cells(family)) for family in several]
    return table("Seeds.", caption, header, rows) if rows else ""


def _seed_cells(family: Family) -> tuple[Cell, ...]:
    def shares(measure: Callable[[AgentJudgement], float], *, signed: bool = False) -> tuple[str, str]:
        low, middle, high = family.span(measure)
        if middle != middle:
            return text.UNDEFINED, ""
        ends = (text.number(value * 100, 1, signed=signed) for value in (low, high))
        return text.percent(middle, signed=signed), " … ".join(ends)

    def numbers(measure: Callable[[AgentJudgement], float], digits: int) -> tuple[str, str]:
        low, middle, high = family.span(measure)
        if middle != middle:
            return text.UNDEFINED, ""
        return text.number(middle, digits), f"{text.number(low, digits)} … {text.number(high, digits)}"

    nan = float("nan")
    return cells(
        family.name,
        text.count(len(family.agents)),
        shares(lambda agent: agent.trading.total_return, signed=True),
        numbers(lambda agent: agent.trading.sharpe, 2),
        numbers(lambda agent: agent.trading.trades, 0),
        shares(lambda agent: agent.win_rate.estimate),
        numbers(lambda agent: agent.signal.log_loss if agent.signal else nan, 4),
        shares(lambda agent: agent.signal.direction_accuracy.estimate if agent.signal else nan),
    )


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
    return with_seeds_folded(
        "Quality of the probabilities.",
        caption,
        header,
        rated,
        lambda agent: Row(cells=_signal_cells(agent.name, agent.signal)),
    )


def _signal_cells(name: str, signal: SignalMetrics | None) -> tuple[Cell, ...]:
    assert signal is not None  # only rated agents are in the table
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
                _gate_name(row),
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
    if any(row.share is not None for row in agent.confidence):
        caption += (
            " Lines named by a share of the rows have a threshold that was set with the test rows known: "
            "they show what confidence is worth, not what could have been traded."
        )
    return table(f"{agent.name}.", caption.strip(), header, rows)


def _gate_name(row: ConfidenceRow) -> str | tuple[str, str]:
    measure = "P(BUY) or P(SELL)" if row.measure == "three-class" else "directional"
    gate = f"{measure} ≥ {row.threshold:.3g}"
    if row.share is not None:
        return f"most confident {text.percent(row.share, 0)}", gate
    return f"{gate} (chosen)" if row.chosen else gate


def cost_table(judgement: Judgement) -> str:
    """Where the costs went."""
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
    return with_seeds_folded(
        "Costs and activity.",
        caption,
        header,
        judgement.agents,
        lambda agent: Row(cells=_cost_cells(agent)),
    )


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
    """Net return of every agent on every symbol; the longer of the two lists runs down the page."""
    if len(judgement.agents) > len(judgement.symbols):
        header = ("agent", "in profit", *judgement.symbols)
        return with_seeds_folded(
            "Net return by symbol.",
            "",
            header,
            judgement.agents,
            lambda agent: Row(cells=_symbol_cells(agent)),
        )
    shown = [agent for agent, _ in _ordered(judgement.agents)]
    rows = [
        Row(cells=cells(symbol, *(_symbol_return(agent, index) for agent in shown)))
        for index, symbol in enumerate(judgement.symbols)
    ]
    positive = cells("symbols in profit", *(_in_profit(agent) for agent in shown))
    header = ("symbol", *(agent.name for agent in shown))
    return table("Net return by symbol.", "", header, [*rows, Row(cells=positive, style="chosen")])


def _symbol_cells(agent: AgentJudgement) -> tuple[Cell, ...]:
    returns = (_symbol_return(agent, index) for index in range(len(agent.symbols)))
    return cells(agent.name, _in_profit(agent), *returns)


def _symbol_return(agent: AgentJudgement, index: int) -> str:
    return text.percent(agent.symbols[index].trading.total_return, signed=True)


def _in_profit(agent: AgentJudgement) -> str:
    return text.percent(sum(item.trading.total_return > 0 for item in agent.symbols) / len(agent.symbols), 0)


def with_seeds_folded(
    lead: str,
    caption: str,
    header: Sequence[str],
    agents: Sequence[AgentJudgement],
    row: Callable[[AgentJudgement], Row],
    first: Sequence[Row] = (),
) -> str:
    """A table of agents, learners before baselines; all but the first seed of each open on demand.

    Args:
        lead: its name.
        caption: how to read it.
        header: one name a column.
        agents: one row each.
        row: makes the row of an agent.
        first: rows above them.
    """
    more = further_seeds(agents)
    ordered = _ordered(agents)
    main = [replace(row(agent), style=style) for agent, style in ordered if agent.name not in more]
    rest = [replace(row(agent), style=style) for agent, style in ordered if agent.name in more]
    hidden = table(lead, "The further seeds.", header, [*first, *rest]) if rest else ""
    return table(lead, caption, header, [*first, *main]) + folded("The same for further seeds", hidden)


def _ordered(agents: Sequence[AgentJudgement]) -> list[tuple[AgentJudgement, str]]:
    """Learners before baselines, each with its row style."""
    learners = [(agent, "") for agent in agents if agent.role == "learner"]
    baselines = [agent for agent in agents if agent.role == "baseline"]
    styles = ["baseline first-baseline"] + ["baseline"] * len(baselines)
    return learners + list(zip(baselines, styles, strict=False))
