"""`Bench`: everything that is measured of one agent on the judged folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.evaluate import intervals, signal_metrics, trading_metrics as metrics
from quantum_trader.evaluate.backtest import Actions, Portfolio, trade_all, trading_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.coin_flips import flip_coins
from quantum_trader.evaluate.confidence import FIXED_THRESHOLD, Gate, confidence_table, most_confident
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.fold_figures import fold_figures
from quantum_trader.evaluate.folds import Folds, JudgedRows
from quantum_trader.evaluate.position_agents import decide_on_grounds
from quantum_trader.evaluate.records import (
    AgentJudgement,
    ConfidenceRow,
    RegimeRow,
    SharpeTest,
    SignalMetrics,
    SymbolMetrics,
)
from quantum_trader.evaluate.sensitivity import sensitivity
from quantum_trader.evaluate.signal_quality import shares, signal_quality
from quantum_trader.evaluate.statistics.block_length import block_length
from quantum_trader.evaluate.statistics.regimes import DirectionCalls, index_regimes, regime_rows
from quantum_trader.evaluate.statistics.sharpe import sharpe_test, trial_variance

Floats = NDArray[np.float64]

TOP_SHARES = (0.1, 0.01)
"""Shares of the rows, the most confident, whose trades are shown by themselves."""


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured of every agent."""

    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    """How intervals are drawn; the block is at least three times the label's horizon, and longer where the
    labels' direction depends on its past for longer."""
    coin_flips: int = 200
    """Random moments each agent's decisions are moved to; more sharpen the percentile, 0 leaves it out."""
    thresholds: tuple[float, ...] = (0.5, 0.52, 0.55, 0.6, 0.65)
    """Directional confidences that the confidence table tries."""
    tried: tuple[float, ...] = ()
    """Sharpe ratios of a bar of what else was tried on these data, from the ledger: the more, the better a
    result has to be."""
    seed: int = 0
    """Seed of the random moments."""


def trade(entrant: Entrant, folds: Folds) -> tuple[Portfolio, list[Actions]]:
    """An agent's accounts and its decisions on every ground."""
    places = folds.places
    if entrant.policy is not None:
        actions = decide_on_grounds(entrant.policy, places, places[0].rules.environment(entrant.kind))
    elif entrant.decisions is not None:
        actions = list(entrant.decisions)
    else:
        actions = folds.spread(entrant.row_actions)
    return trade_all(entrant.name, places, actions, entrant.kind), actions


class Bench:
    """What all agents share while they are judged.

    Args:
        folds: where.
        config: what is measured.
    """

    def __init__(self, folds: Folds, config: BenchConfig) -> None:
        self.folds = folds
        self.config = config
        self.label_bars = max(fold.backtest.horizon_bars for fold in folds.folds)
        shortest = max(config.bootstrap.block_bars, 3.0 * self.label_bars)
        block = block_length(_label_direction(folds.rows), shortest=shortest)
        self.bootstrap = replace(config.bootstrap, block_bars=block)
        self.horizon = int(np.argmin([abs(bars - self.label_bars) for bars in HORIZONS]))
        self.market = folds.places[0].market
        # Of the whole markets: the first bars judged have a past too.
        self.regimes = index_regimes(
            [(market.bars.timestamp, market.bars.close) for market in folds.folds[-1].rows.markets]
        )
        self.yearly_bars = metrics.bars_per_year(self.market.bars.step_ms, self.market.contract.session)

    def trials(self, entrants: Sequence[Entrant], portfolios: Sequence[Portfolio]) -> Floats:
        """float64 [N]: the Sharpe ratios of a bar of all that was tried, here and before."""
        here = [
            metrics.sharpe(metrics.returns(portfolio.equity))
            for entrant, portfolio in zip(entrants, portfolios, strict=True)
            if entrant.role == "learner"
        ]
        # An account that never moves was tried too, and showed a Sharpe ratio of nothing.
        return np.nan_to_num(np.array([*self.config.tried, *here], dtype=np.float64))

    def agent(
        self,
        entrant: Entrant,
        portfolio: Portfolio,
        actions: Sequence[Actions],
        hold: Portfolio,
        trials: Floats,
    ) -> AgentJudgement:
        """Everything about one agent."""
        places = self.folds.places
        return AgentJudgement(
            name=entrant.name,
            role=entrant.role,
            kind=entrant.kind,
            decision_shares=self.decision_shares(actions),
            trading=trading_metrics(portfolio.results, portfolio.equity, self.yearly_bars),
            total_return=intervals.portfolio_return(portfolio, self.bootstrap),
            sharpe=intervals.portfolio_sharpe(portfolio, self.yearly_bars, self.bootstrap),
            win_rate=intervals.portfolio_win_rate(portfolio, self.bootstrap),
            excess_over_hold=None
            if portfolio is hold
            else intervals.portfolio_excess(portfolio, hold, self.yearly_bars, self.bootstrap),
            coin_flips=flip_coins(
                portfolio,
                places,
                actions,
                entrant.kind,
                draws=self.config.coin_flips,
                seed=self.config.seed,
            ),
            symbols=tuple(
                SymbolMetrics(
                    symbol=result.symbol,
                    trading=trading_metrics([result], result.equity, self.yearly_bars),
                )
                for result in portfolio.results
            ),
            signal=self.signal(entrant),
            confidence=self.confidence(entrant),
            folds=fold_figures(entrant, self.folds, actions, self.yearly_bars),
            sensitivity=sensitivity(entrant, self.folds, actions, self.yearly_bars, self.bootstrap),
            regimes=self.regime_rows(entrant, portfolio),
            sharpe_test=self.sharpe_test(portfolio, trials),
        )

    def decision_shares(self, actions: Sequence[Actions]) -> tuple[float, float, float]:
        """Shares of the decisions at the usable bars of every ground."""
        taken = [
            mine[place.start :][place.market.usable[place.start :]]
            for place, mine in zip(self.folds.places, actions, strict=True)
        ]
        return shares(signal_metrics.class_shares(np.concatenate(taken)))

    def signal(self, entrant: Entrant) -> SignalMetrics | None:
        """The quality of an agent's probabilities; None where it gives none."""
        if entrant.probabilities is None:
            return None
        return signal_quality(
            entrant.probabilities,
            entrant.quantiles,
            self.folds.rows,
            horizon=self.horizon,
            config=self.bootstrap,
        )

    def confidence(self, entrant: Entrant) -> tuple[ConfidenceRow, ...]:
        """What gates at several thresholds would have done; empty without probabilities."""
        if entrant.probabilities is None or entrant.role == "baseline":
            return ()
        hold = entrant.gate.hold_threshold if entrant.gate is not None else 1.0
        gates = [Gate(threshold=value, hold_threshold=hold) for value in self.config.thresholds]
        fixed = Gate(measure="three-class", threshold=FIXED_THRESHOLD)
        return confidence_table(
            entrant.probabilities,
            self.folds,
            gates=[*gates, fixed, *(most_confident(entrant.probabilities, share) for share in TOP_SHARES)],
            chosen=entrant.gate,
            bootstrap=self.bootstrap,
        )

    def regime_rows(self, entrant: Entrant, portfolio: Portfolio) -> tuple[RegimeRow, ...]:
        """How the agent fared in every kind of market; empty where it never traded."""
        if len(portfolio.trades) == 0:
            return ()
        rows, calls = self.folds.rows, None
        if entrant.probabilities is not None:
            moved = rows.action != Action.HOLD
            right = signal_metrics.direction(entrant.probabilities[moved]) == rows.action[moved]
            calls = DirectionCalls(timestamps=rows.timestamps[moved], right=right)
        return regime_rows(
            self.regimes,
            timestamps=portfolio.timestamps[1:],
            log_returns=metrics.log_returns(portfolio.equity),
            entered=intervals.entry_moments(portfolio),
            net_pnl=portfolio.trades["net_pnl"].to_numpy(dtype=np.float64),
            calls=calls,
            config=self.bootstrap,
        )

    def sharpe_test(self, portfolio: Portfolio, trials: Floats) -> SharpeTest | None:
        """How likely the agent's Sharpe ratio is luck."""
        bars = metrics.returns(portfolio.equity)
        return sharpe_test(
            bars,
            trials=len(trials),
            variance=trial_variance(trials, len(bars)),
            yearly_bars=self.yearly_bars,
        )


def _label_direction(rows: JudgedRows) -> Floats:
    """float64 [moments]: share of BUY minus share of SELL among the labels of one moment, whose dependence on
    its past is that of every agent's hits, whatever the agent."""
    _, place, count = np.unique(rows.timestamps, return_inverse=True, return_counts=True)
    signs = (rows.action == Action.BUY).astype(np.float64) - (rows.action == Action.SELL)
    shares: Floats = np.bincount(place, weights=signs) / count
    return shares
