"""Plausible report data from a seeded simulation, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval
from quantum_trader.evaluate.explanation import Band, Explanation, Group, Shuffled
from quantum_trader.evaluate.records import (
    AgentJudgement,
    CoinFlips,
    ConfidenceRow,
    Costs,
    Judgement,
    SignalMetrics,
    SymbolMetrics,
    TradingMetrics,
)
from quantum_trader.evaluate.report.data import (
    DetailGroup,
    EquityCurve,
    NamedCoverage,
    NamedReliability,
    ReportData,
    SignalCandles,
    SplitSummary,
)
from quantum_trader.evaluate.signal_metrics import CoverageCurve, ReliabilityCurve

START = 1_735_689_600_000
HOUR = 3_600_000
NAN = float("nan")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def around(estimate: float, half: float) -> Interval:
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half)


def trading(total: float = -0.04, trades: int = 900) -> TradingMetrics:
    return TradingMetrics(
        bars=4344,
        total_return=total,
        cagr=2 * total,
        volatility=0.2,
        sharpe=total * 8,
        sortino=total * 9,
        calmar=-0.5,
        max_drawdown=0.12,
        max_drawdown_bars=800,
        trades=trades,
        win_rate=0.48 if trades else NAN,
        break_even_win_rate=0.51 if trades else NAN,
        profit_factor=0.9 if trades else NAN,
        expectancy=-0.0005 if trades else NAN,
        turnover=150.0,
        exposure=0.4,
        liquidations=0,
        costs=Costs(fees=0.03, slippage=0.01, funding=-0.002, liquidation=0.0),
    )


def signal(skill: float = 0.002) -> SignalMetrics:
    return SignalMetrics(
        rows=30_000,
        accuracy=0.42,
        balanced_accuracy=0.38,
        matthews_correlation=0.05,
        macro_f1=0.37,
        log_loss=1.08,
        log_loss_skill=around(skill, 0.001),
        brier=0.65,
        brier_skill=skill,
        calibration_error=0.01,
        directional_calibration_error=0.01,
        rank_ic=0.02,
        direction_accuracy=around(0.52, 0.01),
        direction_accuracy_10=around(0.55, 0.02),
        direction_accuracy_1=around(0.6, 0.06),
        margin_accuracy_10=0.55,
        margin_accuracy_1=0.6,
        signal_shares=(0.6, 0.2, 0.2),
        label_shares=(0.4, 0.3, 0.3),
        confusion=((6, 2, 2), (3, 3, 2), (3, 2, 3)),
        quantile_coverage=(0.8, 0.79, 0.81, 0.8),
    )


def confidence() -> tuple[ConfidenceRow, ...]:
    empty = ConfidenceRow(
        measure="three-class",
        threshold=0.65,
        hold_threshold=1.0,
        chosen=False,
        coverage=0.0,
        trades=0,
        win_rate=Interval(estimate=NAN, low=NAN, high=NAN),
        break_even_win_rate=NAN,
        total_return=0.0,
    )
    usual = replace(
        empty,
        measure="directional",
        threshold=0.52,
        chosen=True,
        coverage=0.7,
        trades=700,
        win_rate=around(0.49, 0.02),
        break_even_win_rate=0.51,
        total_return=-0.03,
    )
    return usual, empty


def agent(
    name: str = "tft", total: float = -0.04, half: float = 0.1, percentile: float = 0.7
) -> AgentJudgement:
    return AgentJudgement(
        name=name,
        role="learner",
        kind="signal",
        decision_shares=(0.4, 0.3, 0.3),
        trading=trading(total),
        total_return=around(total, half),
        sharpe=around(total * 8, 1.0),
        win_rate=around(0.48, 0.02),
        excess_over_hold=around(total, half),
        coin_flips=CoinFlips(
            draws=200,
            return_percentile=percentile,
            win_rate_percentile=percentile,
            return_quantiles=(-0.1, -0.05, 0.0),
            mean_trades=905.0,
        ),
        symbols=tuple(SymbolMetrics(symbol=symbol, trading=trading(total)) for symbol in SYMBOLS),
        signal=signal(),
        confidence=confidence(),
    )


def hold() -> AgentJudgement:
    return replace(
        agent("buy_and_hold", 0.01),
        role="baseline",
        kind="position",
        excess_over_hold=None,
        coin_flips=None,
        signal=None,
        confidence=(),
    )


def judgement(*agents: AgentJudgement) -> Judgement:
    return Judgement(
        agents=(*agents, hold()),
        symbols=SYMBOLS,
        step_ms=HOUR,
        start_ms=START,
        end_ms=START + 4343 * HOUR,
        buy_and_hold="buy_and_hold",
        prior=(0.4, 0.3, 0.3),
        horizon_bars=6,
        bootstrap=BootstrapConfig(),
    )


def shares(*shape: int) -> np.ndarray:
    """Random weights that sum to 1 along the last axis."""
    drawn = np.random.default_rng(1).random(shape)
    return drawn / drawn.sum(axis=-1, keepdims=True)


def explanation(name: str = "tft") -> Explanation:
    """Everything a network with variable selection has."""
    groups: tuple[tuple[Group, str], ...] = (
        *(("feature", f"feature_{index}") for index in range(14)),
        *(("static", f"static_{index}") for index in range(6)),
        *(("bars", f"{first} to {first + 9}") for first in range(-59, 0, 10)),
        *(("part", part) for part in ("window", "static numbers", "calendar")),
    )
    return Explanation(
        agent=name,
        rows=2_000,
        action_rows=(1_000, 600, 400),
        attention=Band.of(shares(50, 60)),
        attention_by_action=shares(3, 60),
        effective_bars=Band.of(np.linspace(30, 50, 20)),
        feature_names=tuple(f"feature_{index}" for index in range(14)),
        importances=Band.of(shares(50, 14)),
        steps=shares(60, 14),
        joint=shares(60, 14) / 60,
        static_names=tuple(f"static_{index}" for index in range(6)),
        static_importances=Band.of(shares(50, 6)),
        quantiles=np.array([[-0.01 * h, 0.0, 0.01 * h] for h in range(1, 5)]),
        quantiles_by_action=np.stack([np.array([[-0.01, 0.0, 0.01]] * 4)] * 3),
        shuffled_rows=1_000,
        log_loss=1.05,
        shuffled=tuple(
            Shuffled(name=label, group=group, increase=around(0.001 * index, 0.002))
            for index, (group, label) in enumerate(groups)
        ),
    )


def full_report() -> ReportData:
    """Every section filled, with the length of half a year of hours."""
    rng = np.random.default_rng(0)
    times = START + HOUR * np.arange(4344)
    found = judgement(agent("tft"), agent("xgboost", -0.08))
    names = [item.name for item in found.agents]
    curves = [np.exp(np.cumsum(rng.normal(0, 0.003, 4344))) for _ in names]
    steps = np.linspace(0.5, 0.62, 15)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 120)))
    opened = np.concatenate([[100.0], close[:-1]])
    return ReportData(
        title="Test report",
        subtitle="Made for a test",
        judgement=found,
        splits=(
            SplitSummary(name="train", start_ms=START, end_ms=START + HOUR, rows=9, shares=(0.4, 0.3, 0.3)),
        ),
        data_notes=("A note.",),
        equity=tuple(
            EquityCurve(name=name, timestamps=times, equity=curve)
            for name, curve in zip(names, curves, strict=True)
        ),
        reliability=tuple(
            NamedReliability(
                name=name,
                curve=ReliabilityCurve(confidence=steps, accuracy=steps, count=np.full(15, 100)),
                histogram=np.concatenate([np.full(12, 1 / 12), np.zeros(38)]),
            )
            for name in names[:2]
        ),
        coverage=tuple(
            NamedCoverage(
                name=name,
                curve=CoverageCurve(
                    coverage=np.arange(1, 101) / 100,
                    accuracy=np.linspace(0.6, 0.52, 100),
                    threshold=np.linspace(0.65, 0.5, 100),
                ),
            )
            for name in names[:2]
        ),
        candles=SignalCandles(
            symbol="BTCUSDT",
            agent="tft",
            timestamps=times[-120:],
            open=opened,
            high=np.maximum(opened, close) * 1.002,
            low=np.minimum(opened, close) * 0.998,
            close=close,
            actions=rng.integers(0, 3, 120).astype(np.int8),
        ),
        explanations=(explanation(),),
        details=(DetailGroup(title="Identity", rows=(("config", "abc123"),)),),
    )
