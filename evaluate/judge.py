"""`judge`: every agent on the same test rows, with the same costs, beside the baselines it has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.policy_pass import Policy
from quantum_trader.evaluate import intervals, signal_metrics
from quantum_trader.evaluate.backtest import (
    Actions,
    BacktestConfig,
    Ground,
    Portfolio,
    grounds,
    spread,
    trade_all,
    trading_metrics,
)
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.coin_flips import flip_coins
from quantum_trader.evaluate.confidence import FIXED_THRESHOLD, Gate, confidence_table
from quantum_trader.evaluate.position_agents import decide_on_grounds
from quantum_trader.evaluate.records import (
    AgentJudgement,
    ConfidenceRow,
    Judgement,
    Kind,
    Role,
    SignalMetrics,
    SymbolMetrics,
)
from quantum_trader.evaluate.signal_quality import shares, signal_quality
from quantum_trader.evaluate.trading_metrics import bars_per_year
from quantum_trader.train.dataset import PooledDataset

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

BUY_AND_HOLD = "buy_and_hold"


@dataclass(frozen=True, kw_only=True, eq=False)
class Entrant:
    """One agent as it is judged; arrays have one row a row of the test dataset.

    A signal agent gives `actions`, or `probabilities` of which the most probable action is then taken. A
    position agent gives a `policy`, or `actions` where these do not depend on its account.

    Attributes:
        name: identifier in tables and figures.
        role: a baseline is there to be beaten.
        kind: "signal" leaves by the label's barriers and horizon, "position" whenever it decides to.
        probabilities: float32 [N, 3], or None.
        actions: int8 [N], `Action` values after any gate, or None.
        policy: decides with the account in view, or None.
        gate: the gate chosen on validation, to be marked in the confidence table; None where there is none.
        quantiles: float32 [N, H, 3], Q10, Q50, Q90 of the forward return at `HORIZONS`, or None.
    """

    name: str
    role: Role = "learner"
    kind: Kind = "signal"
    probabilities: Floats32 | None = None
    actions: Actions | None = None
    policy: Policy | None = None
    gate: Gate | None = None
    quantiles: Floats32 | None = None


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How agents are judged."""

    backtest: BacktestConfig = field(default_factory=BacktestConfig)
    """How decisions become trades."""
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    """How intervals are drawn; the block is lengthened to twice the label's horizon where it is shorter."""
    coin_flips: int = 200
    """Random moments each agent's decisions are moved to; more sharpen the percentile, 0 leaves it out."""
    thresholds: tuple[float, ...] = (0.5, 0.52, 0.55, 0.6, 0.65)
    """Directional confidences that the confidence table tries."""
    seed: int = 0
    """Seed of the random moments."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What `judge` found.

    Attributes:
        judgement: the numbers, for metrics.json and the report's tables.
        portfolios: one an agent in the same order, for the report's curves.
        entrants: those judged, buy-and-hold among them.
        places: where they traded, one ground a symbol.
        decisions: one entry an agent: int8 [bars of the ground] a ground, what it decided.
    """

    judgement: Judgement
    portfolios: tuple[Portfolio, ...]
    entrants: tuple[Entrant, ...]
    places: tuple[Ground, ...]
    decisions: tuple[tuple[Actions, ...], ...]


def judge(
    entrants: Sequence[Entrant], test: PooledDataset, prior: Floats, config: JudgeConfig | None = None
) -> Verdict:
    """Judge agents on the test rows.

    Args:
        entrants: the agents; buy-and-hold is added where it is missing.
        test: N labelled test rows of one or several markets.
        prior: float64 [3], shares of HOLD, BUY, SELL among the TRAINING labels.
        config: how.

    Raises:
        ConfigError: an entrant without decisions, two of one name, or arrays of another length than `test`.
    """
    bench = _Bench(test, np.asarray(prior, dtype=np.float64), config if config is not None else JudgeConfig())
    everyone = _with_buy_and_hold(entrants, len(test))
    _check(everyone, len(test))
    traded = [bench.trade(entrant) for entrant in everyone]
    hold = traded[[entrant.name for entrant in everyone].index(BUY_AND_HOLD)][0]
    judged = tuple(
        bench.agent(entrant, portfolio, actions, hold)
        for entrant, (portfolio, actions) in zip(everyone, traded, strict=True)
    )
    judgement = Judgement(
        agents=judged,
        symbols=tuple(place.symbol for place in bench.places),
        step_ms=test.markets[0].bars.step_ms,
        start_ms=int(hold.timestamps[0]),
        end_ms=int(hold.timestamps[-1]),
        buy_and_hold=BUY_AND_HOLD,
        prior=shares(bench.prior),
        horizon_bars=HORIZONS[bench.horizon],
        bootstrap=bench.bootstrap,
    )
    return Verdict(
        judgement=judgement,
        portfolios=tuple(portfolio for portfolio, _ in traded),
        entrants=everyone,
        places=bench.places,
        decisions=tuple(tuple(actions) for _, actions in traded),
    )


class _Bench:
    """What all agents share while they are judged."""

    def __init__(self, test: PooledDataset, prior: Floats, config: JudgeConfig) -> None:
        self.test = test
        self.prior = prior
        self.config = config
        self.places: tuple[Ground, ...] = grounds(test, config.backtest)
        horizon = config.backtest.horizon_bars
        block = max(config.bootstrap.block_bars, 2.0 * horizon)
        self.bootstrap = replace(config.bootstrap, block_bars=block)
        self.horizon = int(np.argmin([abs(bars - horizon) for bars in HORIZONS]))
        market = self.places[0].market
        self.yearly_bars = bars_per_year(market.bars.step_ms, market.contract.session)

    def trade(self, entrant: Entrant) -> tuple[Portfolio, list[Actions]]:
        """The agent's accounts and its decisions on every ground."""
        environment = self.config.backtest.environment(entrant.kind)
        if entrant.policy is not None:
            actions = decide_on_grounds(entrant.policy, self.places, environment)
        else:
            actions = spread(self.test, _row_actions(entrant), self.places)
        return trade_all(entrant.name, self.places, actions, environment), actions

    def agent(
        self, entrant: Entrant, portfolio: Portfolio, actions: Sequence[Actions], hold: Portfolio
    ) -> AgentJudgement:
        """Everything about one agent."""
        environment = self.config.backtest.environment(entrant.kind)
        flips = flip_coins(
            portfolio,
            self.places,
            actions,
            environment,
            draws=self.config.coin_flips,
            seed=self.config.seed,
        )
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
            coin_flips=flips,
            symbols=tuple(
                SymbolMetrics(
                    symbol=result.symbol,
                    trading=trading_metrics([result], result.equity, self.yearly_bars),
                )
                for result in portfolio.results
            ),
            signal=self.signal(entrant),
            confidence=self.confidence(entrant),
        )

    def decision_shares(self, actions: Sequence[Actions]) -> tuple[float, float, float]:
        """Shares of the decisions at the usable bars of every ground."""
        taken = [
            mine[place.start :][place.market.usable[place.start :]]
            for place, mine in zip(self.places, actions, strict=True)
        ]
        return shares(signal_metrics.class_shares(np.concatenate(taken)))

    def signal(self, entrant: Entrant) -> SignalMetrics | None:
        """The quality of an agent's probabilities; None where it gives none."""
        if entrant.probabilities is None:
            return None
        return signal_quality(
            entrant.probabilities,
            entrant.quantiles,
            self.test,
            self.prior,
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
            self.test,
            self.places,
            gates=[*gates, fixed],
            chosen=entrant.gate,
            backtest=self.config.backtest,
            bootstrap=self.bootstrap,
        )


def _row_actions(entrant: Entrant) -> Actions:
    if entrant.actions is not None:
        return entrant.actions
    assert entrant.probabilities is not None  # _check saw to it
    if entrant.gate is not None:
        return entrant.gate.decide(entrant.probabilities)
    return np.asarray(entrant.probabilities.argmax(axis=1), dtype=np.int8)


def _with_buy_and_hold(entrants: Sequence[Entrant], rows: int) -> tuple[Entrant, ...]:
    if any(entrant.name == BUY_AND_HOLD for entrant in entrants):
        return tuple(entrants)
    buys = np.full(rows, Action.BUY, dtype=np.int8)
    return (*entrants, Entrant(name=BUY_AND_HOLD, role="baseline", kind="position", actions=buys))


def _check(entrants: Sequence[Entrant], rows: int) -> None:
    if rows == 0:
        raise ConfigError("Judging needs test rows, found none: give longer data or move the split dates.")
    names = [entrant.name for entrant in entrants]
    if len(set(names)) != len(names):
        raise ConfigError(f"Every agent needs a name of its own, found {', '.join(names)}.")
    for entrant in entrants:
        if entrant.actions is None and entrant.probabilities is None and entrant.policy is None:
            raise ConfigError(f"{entrant.name}: expected actions, probabilities or a policy, found none.")
        for name in ("actions", "probabilities", "quantiles"):
            array = getattr(entrant, name)
            if array is not None and len(array) != rows:
                raise ConfigError(f"{entrant.name}: expected {rows} rows of {name}, found {len(array)}.")
