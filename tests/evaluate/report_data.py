"""Plausible report data from a seeded simulation, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval
from quantum_trader.evaluate.explanation import Band, Explanation, Group, Shuffled
from quantum_trader.evaluate.records import (
    AgentJudgement,
    CheckResult,
    CoinFlips,
    Comparison,
    ConfidenceRow,
    Costs,
    FoldFigures,
    Judgement,
    PairedTest,
    RegimeRow,
    SensitivityRow,
    SharpeTest,
    SignalMetrics,
    SymbolMetrics,
    TradingMetrics,
    Trend,
    Trial,
    Volatility,
)
from quantum_trader.evaluate.report.band import equity_band
from quantum_trader.evaluate.report.data import (
    DetailGroup,
    EquityCurve,
    NamedCoverage,
    NamedReliability,
    PathSharpes,
    ReportData,
    SignalCandles,
    SplitSummary,
)
from quantum_trader.evaluate.report.rolling import RollingWinRate
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


def folds(returns: tuple[float, ...] = (0.02, -0.03, 0.01)) -> tuple[FoldFigures, ...]:
    """One fold a return, 60 days each."""
    return tuple(
        FoldFigures(
            fold=number,
            start_ms=START + number * 1_440 * HOUR,
            end_ms=START + (number + 1) * 1_440 * HOUR - HOUR,
            total_return=value,
            sharpe=value * 40,
            max_drawdown=0.05,
            trades=300,
            win_rate=0.48,
            log_loss=1.08,
            log_loss_skill=0.002,
            direction_accuracy=0.52,
            confusion=((600 + number, 200, 200), (300, 300, 200), (300, 200, 300)),
        )
        for number, value in enumerate(returns)
    )


def sensitivity(*returns: float) -> tuple[SensitivityRow, ...]:
    """Net returns at costs x 1, 2, 3 and then at delays of 1 and 2 bars."""
    settings = ((1.0, 0), (2.0, 0), (3.0, 0), (1.0, 1), (1.0, 2))
    return tuple(
        SensitivityRow(
            cost_multiplier=cost,
            delay_bars=delay,
            total_return=around(value, 0.05),
            sharpe=value * 8,
            trades=900,
            win_rate=0.48,
            break_even_win_rate=0.5,
        )
        for (cost, delay), value in zip(settings, returns, strict=True)
    )


def regimes(agent_shift: float = 0.0) -> tuple[RegimeRow, ...]:
    """Every kind of market, the calm falling one without a trade."""
    trends: tuple[Trend, ...] = ("falling", "sideways", "rising")
    volatilities: tuple[Volatility, ...] = ("calm", "usual", "wild")
    kinds = [(trend, volatility) for trend in trends for volatility in volatilities]
    return tuple(
        RegimeRow(
            trend=trend,
            volatility=volatility,
            share=1 / 9,
            log_return=around(0.01 * (index - 4) + agent_shift, 0.03),
            trades=100 * index,
            win_rate=0.45 + 0.01 * index if index else NAN,
            direction_accuracy=0.5 + 0.005 * index,
        )
        for index, (trend, volatility) in enumerate(kinds)
    )


def sharpe_test(deflated: float = 0.4, trials: int = 12) -> SharpeTest:
    return SharpeTest(
        probabilistic=0.8, deflated=deflated, trials=trials, expected_maximum=1.6, years_needed=2.345
    )


def comparison(*names: str, p: float = 0.4, overfitting: float = 0.45) -> Comparison:
    """Every pair of agents."""
    return Comparison(
        spa_benchmark="buy_and_hold",
        spa_p=p,
        overfitting=overfitting,
        overfitting_blocks=16,
        pairs=tuple(
            PairedTest(
                left=left,
                right=right,
                log_loss_difference=around(-0.002, 0.003),
                log_loss_p=0.21,
                log_loss_p_adjusted=0.63,
                return_difference=around(0.04, 0.2),
            )
            for index, left in enumerate(names)
            for right in names[index + 1 :]
        ),
    )


def walked(agent: AgentJudgement, returns: tuple[float, ...] = (0.02, -0.03, 0.01)) -> AgentJudgement:
    """The agent with folds, sensitivity, regimes and a test of its Sharpe ratio."""
    total = agent.trading.total_return
    return replace(
        agent,
        folds=folds(returns),
        sensitivity=sensitivity(total, total - 0.04, total - 0.08, total - 0.01, total - 0.02),
        regimes=regimes(total / 9),
        sharpe_test=sharpe_test(),
    )


def checks() -> tuple[CheckResult, ...]:
    """One that passed, one that failed, one that was not asked."""
    return (
        CheckResult(
            name="accounting",
            question="Do the cash flows add up to the change in equity?",
            passed=True,
            detail="Yes, to 2e-12 of the balance.",
        ),
        CheckResult(
            name="features_causal",
            question="Do the features of a bar stay the same when later bars change?",
            passed=False,
            detail="No: 2 of 14 features changed at 25 cuts.",
        ),
        CheckResult(
            name="survivorship",
            question="Do delisted symbols appear in their folds?",
            passed=None,
            detail="The data name no delisted symbol.",
        ),
    )


def trials(configurations: int = 3, lines: int = 4) -> tuple[Trial, ...]:
    """Lines of a ledger, several a configuration."""
    return tuple(
        Trial(
            time=f"2026-01-{1 + number % 28:02d}T12:00:0{line}Z",
            trial=f"{number:04x}" * 4,
            key=f"{number:04x}{line:04x}",
            agent="tft" if number % 2 else "xgboost",
            seed=line,
            data="d" * 16,
            split="test" if line % 2 else "validation",
            start_ms=START,
            end_ms=START + 4343 * HOUR,
            bars=4344,
            mean_log_return=-1e-5,
            sharpe=-0.004 + 0.001 * line,
            log_loss=1.07 + 0.001 * line,
            returns="",
            version="0.1.0",
        )
        for number in range(configurations)
        for line in range(lines)
    )


def paths(*names: str) -> tuple[PathSharpes, ...]:
    """Nine paths an agent."""
    rng = np.random.default_rng(5)
    return tuple(PathSharpes(agent=name, sharpes=rng.normal(0.3, 0.8, 9)) for name in names)


def rolling(name: str = "tft") -> RollingWinRate:
    """A win rate with a stretch in which there were too few trades."""
    rate = 0.48 + 0.03 * np.sin(np.arange(100) / 9)
    rate[40:50] = NAN
    return RollingWinRate(
        name=name,
        window_bars=480,
        timestamps=START + HOUR * np.linspace(480, 4343, 100).astype(np.int64),
        win_rate=rate,
        low=rate - 0.06,
        high=rate + 0.06,
        break_even=rate * 0 + 0.5,
        level=0.95,
    )


def full_report() -> ReportData:
    """Every section filled, with the length of half a year of hours."""
    rng = np.random.default_rng(0)
    times = START + HOUR * np.arange(4344)
    found = replace(
        judgement(walked(agent("tft", 0.03)), walked(agent("xgboost", -0.08), (-0.01, -0.04, 0.02))),
        comparison=comparison("tft", "xgboost", "buy_and_hold"),
    )
    names = [item.name for item in found.agents]
    curves = [np.exp(np.cumsum(rng.normal(0, 0.003, 4344))) for _ in names]
    steps = np.linspace(0.5, 0.62, 15)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 500)))
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
            timestamps=times[-500:],
            open=opened,
            high=np.maximum(opened, close) * 1.002,
            low=np.minimum(opened, close) * 0.998,
            close=close,
            actions=rng.integers(0, 3, 500).astype(np.int8),
        ),
        bands=(equity_band("tft", times, curves[0], BootstrapConfig(draws=200)),),
        rolling=(rolling("tft"), rolling("xgboost")),
        explanations=(explanation(),),
        checks=checks(),
        trials=trials(),
        paths=paths("xgboost", "logistic"),
        details=(DetailGroup(title="Identity", rows=(("config", "abc123"),)),),
    )


def benchmark_report(agents: int = 20, seeds: int = 1, symbols: int = 15, folds_: int = 8) -> ReportData:
    """As large as a benchmark of many agents gets: every section, every agent, every fold."""
    rng = np.random.default_rng(3)
    small = full_report()
    names = tuple(f"SYMBOL{index}USDT" for index in range(symbols))
    learners = []
    for index in range(agents):
        for seed in range(seeds):
            name = f"agent_{index}" + (f"-seed{seed}" if seed else "")
            total = float(rng.normal(0, 0.1))
            entries = tuple(
                SymbolMetrics(symbol=symbol, trading=trading(float(rng.normal(total, 0.1))))
                for symbol in names
            )
            returns = tuple(float(value) for value in rng.normal(total / folds_, 0.04, folds_))
            learners.append(replace(walked(agent(name, total), returns), symbols=entries))
    market = replace(hold(), folds=folds(tuple(rng.normal(0, 0.05, folds_))), symbols=learners[0].symbols)
    everyone = [*learners, market]
    bars = folds_ * 1_440
    times = START + HOUR * np.arange(bars)
    curves = [
        EquityCurve(name=item.name, timestamps=times, equity=np.exp(np.cumsum(rng.normal(0, 0.003, bars))))
        for item in everyone
    ]
    firsts = [item for item in learners if "-seed" not in item.name]
    return replace(
        small,
        title="Benchmark",
        judgement=replace(
            small.judgement,
            agents=tuple(everyone),
            symbols=names,
            end_ms=int(times[-1]),
            comparison=comparison(*(item.name for item in firsts)),
        ),
        equity=tuple(curves),
        bands=(equity_band(learners[0].name, times, curves[0].equity, BootstrapConfig(draws=200)),),
        reliability=tuple(replace(small.reliability[0], name=item.name) for item in firsts[:6]),
        coverage=tuple(replace(small.coverage[0], name=item.name) for item in firsts[:6]),
        rolling=tuple(rolling(item.name) for item in firsts[:6]),
        explanations=(explanation(firsts[0].name), explanation(firsts[1].name)),
        trials=trials(agents, seeds * folds_),
        paths=paths(*(item.name for item in firsts[:4])),
    )
