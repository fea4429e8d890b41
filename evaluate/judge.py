"""`judge`: every agent on the same rows, with the same costs, beside the baselines it has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.backtest import Actions, BacktestConfig, Ground, Portfolio
from quantum_trader.evaluate.bench import Bench, BenchConfig, trade
from quantum_trader.evaluate.compare import compare
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.folds import Folds, JudgedFold, JudgedRows
from quantum_trader.evaluate.records import Judgement
from quantum_trader.evaluate.signal_quality import shares
from quantum_trader.train.dataset import PooledDataset

Floats = NDArray[np.float64]

BUY_AND_HOLD = "buy_and_hold"


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(BenchConfig):
    """How agents are judged on one dataset."""

    backtest: BacktestConfig = field(default_factory=BacktestConfig)
    """How decisions become trades."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """What `judge` found.

    Attributes:
        judgement: the numbers, for metrics.json and the report's tables.
        portfolios: one an agent in the same order, for the report's curves.
        entrants: those judged, buy-and-hold among them.
        rows: the labelled rows of all folds.
        places: where they traded, one ground a symbol and fold.
        decisions: one entry an agent: int8 [bars of the ground] a ground, what it decided.
    """

    judgement: Judgement
    portfolios: tuple[Portfolio, ...]
    entrants: tuple[Entrant, ...]
    rows: JudgedRows
    places: tuple[Ground, ...]
    decisions: tuple[tuple[Actions, ...], ...]


def judge(
    entrants: Sequence[Entrant], test: PooledDataset, prior: Floats, config: JudgeConfig | None = None
) -> Verdict:
    """Judge agents on one test slice.

    Args:
        entrants: the agents; buy-and-hold is added where it is missing.
        test: N labelled test rows of one or several markets.
        prior: float64 [3], shares of HOLD, BUY, SELL among the TRAINING labels.
        config: how.

    Raises:
        ConfigError: an entrant without decisions, two of one name, or arrays of another length than `test`.
    """
    config = config if config is not None else JudgeConfig()
    shares_of_training = np.asarray(prior, dtype=np.float64)
    fold = JudgedFold(rows=test, prior=shares_of_training, backtest=config.backtest)
    return judge_folds(entrants, [fold], config)


def judge_folds(
    entrants: Sequence[Entrant], folds: Sequence[JudgedFold], config: BenchConfig | None = None
) -> Verdict:
    """Judge agents on the test slices of a walk-forward, as one stretch of time.

    Every fold begins flat; an account goes on with what the fold before left it.

    Args:
        entrants: the agents, with answers to the rows of all folds; buy-and-hold is added where missing.
        folds: in the order of time.
        config: how.

    Raises:
        ConfigError: an entrant without decisions, two of one name, or arrays of another length than the rows.
    """
    if not folds or any(len(fold.rows) == 0 for fold in folds):
        raise ConfigError("Judging needs test rows, found none: give longer data or move the split dates.")
    ground = Folds(folds)
    everyone = _with_buy_and_hold(entrants, len(ground))
    _check(everyone, ground)
    bench = Bench(ground, config if config is not None else BenchConfig())
    traded = [trade(entrant, ground) for entrant in everyone]
    portfolios = tuple(portfolio for portfolio, _ in traded)
    hold = portfolios[[entrant.name for entrant in everyone].index(BUY_AND_HOLD)]
    trials = bench.trials(everyone, portfolios)
    judgement = Judgement(
        agents=tuple(
            bench.agent(entrant, portfolio, actions, hold, trials)
            for entrant, (portfolio, actions) in zip(everyone, traded, strict=True)
        ),
        symbols=ground.symbols,
        step_ms=bench.market.bars.step_ms,
        start_ms=int(hold.timestamps[0]),
        end_ms=int(hold.timestamps[-1]),
        buy_and_hold=BUY_AND_HOLD,
        prior=shares(ground.rows.prior.mean(axis=0)),
        horizon_bars=HORIZONS[bench.horizon],
        bootstrap=bench.bootstrap,
        comparison=compare(
            everyone,
            portfolios,
            ground.rows,
            BUY_AND_HOLD,
            yearly_bars=bench.yearly_bars,
            label_bars=bench.label_bars,
            config=bench.bootstrap,
        ),
    )
    return Verdict(
        judgement=judgement,
        portfolios=portfolios,
        entrants=everyone,
        rows=ground.rows,
        places=ground.places,
        decisions=tuple(tuple(actions) for _, actions in traded),
    )


def _with_buy_and_hold(entrants: Sequence[Entrant], rows: int) -> tuple[Entrant, ...]:
    if any(entrant.name == BUY_AND_HOLD for entrant in entrants):
        return tuple(entrants)
    buys = np.full(rows, Action.BUY, dtype=np.int8)
    return (*entrants, Entrant(name=BUY_AND_HOLD, role="baseline", kind="position", actions=buys))


def _check(entrants: Sequence[Entrant], folds: Folds) -> None:
    rows = len(folds)
    names = [entrant.name for entrant in entrants]
    if len(set(names)) != len(names):
        raise ConfigError(f"Every agent needs a name of its own, found {', '.join(names)}.")
    for entrant in entrants:
        if not entrant.has_decisions:
            raise ConfigError(f"{entrant.name}: expected actions, probabilities or a policy, found none.")
        if entrant.policy is not None and len(folds.folds) > 1:
            raise ConfigError(f"{entrant.name}: several folds need its decisions, found one policy.")
        for name in ("actions", "probabilities", "quantiles"):
            array = getattr(entrant, name)
            if array is not None and len(array) != rows:
                raise ConfigError(f"{entrant.name}: expected {rows} rows of {name}, found {len(array)}.")
        decided = [len(mine) for mine in entrant.decisions or ()]
        if decided and decided != [len(place.market) for place in folds.places]:
            raise ConfigError(f"{entrant.name}: expected one decision per bar of every symbol and fold.")
