"""Evaluation: metrics, intervals, backtests and judging; names load their module on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.evaluate.backtest import (
        BacktestConfig as BacktestConfig,
        BacktestResult as BacktestResult,
        Ground as Ground,
        Portfolio as Portfolio,
        grounds as grounds,
        pool as pool,
        spread as spread,
        trade as trade,
        trade_all as trade_all,
    )
    from quantum_trader.evaluate.bootstrap import (
        BootstrapConfig as BootstrapConfig,
        Interval as Interval,
        interval as interval,
        paired_difference as paired_difference,
    )
    from quantum_trader.evaluate.coin_flips import flip_coins as flip_coins
    from quantum_trader.evaluate.confidence import Gate as Gate
    from quantum_trader.evaluate.entrant import Entrant as Entrant
    from quantum_trader.evaluate.explain import (
        ExplainConfig as ExplainConfig,
        explain_rows as explain_rows,
    )
    from quantum_trader.evaluate.explain_run import explain_at as explain_at
    from quantum_trader.evaluate.explanation import (
        Explanation as Explanation,
        Prediction as Prediction,
        explanation_json as explanation_json,
        write_explanations as write_explanations,
    )
    from quantum_trader.evaluate.judge import (
        JudgeConfig as JudgeConfig,
        Verdict as Verdict,
    )
    from quantum_trader.evaluate.ledger import (
        Ledger as Ledger,
        sharpe_ratios as sharpe_ratios,
    )
    from quantum_trader.evaluate.one_prediction import (
        explain_live as explain_live,
        explain_one as explain_one,
    )
    from quantum_trader.evaluate.position_agents import (
        AgentPolicy as AgentPolicy,
        EmbeddingPolicy as EmbeddingPolicy,
    )
    from quantum_trader.evaluate.records import (
        AgentJudgement as AgentJudgement,
        Costs as Costs,
        Judgement as Judgement,
        SignalMetrics as SignalMetrics,
        TradingMetrics as TradingMetrics,
        to_json as to_json,
        write_metrics as write_metrics,
    )

# The function `judge` is not among them: importing its module would put the module in its place.
_MODULES = {
    "AgentJudgement": "records",
    "AgentPolicy": "position_agents",
    "BacktestConfig": "backtest",
    "BacktestResult": "backtest",
    "BootstrapConfig": "bootstrap",
    "Costs": "records",
    "EmbeddingPolicy": "position_agents",
    "Entrant": "entrant",
    "ExplainConfig": "explain",
    "Explanation": "explanation",
    "Gate": "confidence",
    "Ground": "backtest",
    "Interval": "bootstrap",
    "JudgeConfig": "judge",
    "Judgement": "records",
    "Ledger": "ledger",
    "Portfolio": "backtest",
    "Prediction": "explanation",
    "SignalMetrics": "records",
    "TradingMetrics": "records",
    "Verdict": "judge",
    "explain_at": "explain_run",
    "explain_live": "one_prediction",
    "explain_one": "one_prediction",
    "explain_rows": "explain",
    "explanation_json": "explanation",
    "flip_coins": "coin_flips",
    "grounds": "backtest",
    "interval": "bootstrap",
    "paired_difference": "bootstrap",
    "pool": "backtest",
    "sharpe_ratios": "ledger",
    "spread": "backtest",
    "to_json": "records",
    "trade": "backtest",
    "trade_all": "backtest",
    "write_explanations": "explanation",
    "write_metrics": "records",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
