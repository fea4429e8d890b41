"""What somebody's own agent has to offer to be compared, and how its answers are checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import QuantumTraderError
from quantum_trader.evaluate.backtest import Actions, BacktestConfig, grounds
from quantum_trader.evaluate.position_agents import AgentPolicy, decide_on_grounds
from quantum_trader.evaluate.records import Kind
from quantum_trader.evaluate.suite.sealed import sealed
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

_BATCH = 4096
_TOLERANCE = 1e-3
_KINDS = ("signal", "position")


class ContestantError(QuantumTraderError, ValueError):
    """An agent that cannot take part: it lacks a method, or answered something that is no probability."""


class Contestant(Protocol):
    """Anybody's agent: fitted once a fold, then asked about later bars.

    By default it is traded like a classifier: positions leave at the label's barriers or after its horizon.
    A class attribute `kind = "position"` lets it decide for itself: it is asked bar by bar with its account
    in `inputs.account` (see `quantum_trader.envs.observe.ACCOUNT_NAMES`), and BUY, SELL and HOLD are orders
    as in the environment.
    """

    @property
    def name(self) -> str:
        """Short identifier in tables."""
        ...

    def fit(self, train: PooledDataset, validation: PooledDataset, seed: int) -> None:
        """Learn from labelled rows.

        Args:
            train: rows to learn from; `train.windows(rows)` is float32 [B, 60, 14], `train.action` int8 [N].
            validation: later rows, for early stopping and calibration. Neither knows a bar of the test.
            seed: of everything random.
        """
        ...

    def signals(self, inputs: ModelInputs) -> Signals | NDArray[Any]:
        """Probabilities of HOLD, BUY, SELL, float [B, 3], for each row of `inputs`, or `Signals` with them.

        Each row is answered by itself: rows are asked in batches of any size.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ContestantAnswers:
    """What a contestant made of a fold.

    Attributes:
        kind: how it is traded.
        probabilities: float32 [N, 3] on the fold's test rows; of a position agent, what it said with its
            account in view, and certain HOLD where it was not asked.
        seconds_fit: of making and fitting it.
        seconds_answer: of answering all test rows.
    """

    kind: Kind
    probabilities: Floats32
    seconds_fit: float
    seconds_answer: float

    @property
    def actions(self) -> Actions:
        """int8 [N]: the most probable action of each row."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int8)


def checked_contestant(found: Any) -> Contestant:
    """`found`, if it can take part.

    Raises:
        ContestantError: it lacks a name or a method, or its `kind` is unknown.
    """
    name = getattr(found, "name", None)
    if not isinstance(name, str) or not name:
        raise ContestantError(
            f"{type(found).__name__}: expected an attribute `name` that is a text, found {name!r}."
        )
    for method in ("fit", "signals"):
        if not callable(getattr(found, method, None)):
            raise ContestantError(f"{name}: expected methods `fit` and `signals`, found no `{method}`.")
    kind = getattr(found, "kind", "signal")
    if kind not in _KINDS:
        raise ContestantError(f'{name}: expected `kind` "signal" or "position", found {kind!r}.')
    contestant: Contestant = found
    return contestant


def contestant_kind(contestant: Contestant) -> Kind:
    """How a contestant is traded: its `kind`, "signal" where it has none."""
    return "position" if getattr(contestant, "kind", "signal") == "position" else "signal"


def checked_probabilities(found: object, rows: int) -> Floats32:
    """An agent's answer to `rows` rows as float32 [rows, 3] whose rows sum to 1.

    Args:
        found: `Signals` or an array of floats; rows may miss 1 by a thousandth and are then made to sum to 1.
        rows: how many were asked about.

    Raises:
        ContestantError: of another type or shape, not finite, negative, or rows that do not sum to 1.
    """
    given = found.probabilities if isinstance(found, Signals) else found
    if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
        what = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
        raise ContestantError(f"signals: expected Signals or a float array [{rows}, 3], found {what}.")
    if given.shape != (rows, 3):
        raise ContestantError(
            f"signals: expected probabilities of HOLD, BUY, SELL for each row, shape [{rows}, 3], "
            f"found {list(given.shape)}."
        )
    stated = given.astype(np.float64)
    _refuse(~np.isfinite(stated).all(axis=1), stated, "finite numbers")
    _refuse((stated < 0).any(axis=1), stated, "probabilities of at least 0")
    total = stated.sum(axis=1, keepdims=True)
    _refuse(np.abs(total[:, 0] - 1.0) > _TOLERANCE, stated, "three probabilities that sum to 1")
    return np.asarray(stated / total, dtype=np.float32)


def fit_contestant(make: Callable[[], Contestant], prepared: Prepared, seed: int) -> Contestant:
    """Make a contestant and fit it on rows whose markets end before the test begins.

    Raises:
        ContestantError: what `make` gives cannot take part.
    """
    contestant = checked_contestant(make())
    train = sealed(prepared.train, prepared.cuts.train_end)
    contestant.fit(train, sealed(prepared.validation, prepared.cuts.validation_end), seed)
    return contestant


def fit_and_answer(
    make: Callable[[], Contestant], prepared: Prepared, seed: int, *, backtest: BacktestConfig | None = None
) -> ContestantAnswers:
    """Fit a contestant and ask it about the test rows.

    Args:
        make: gives a fresh contestant, e.g. what `find_contestant` found.
        prepared: the fold.
        seed: handed to the contestant.
        backtest: the rules that a position agent's account obeys; None takes the defaults.

    Raises:
        ContestantError: it cannot take part, or answered something that is no probability.
    """
    started = time.perf_counter()
    contestant = fit_contestant(make, prepared, seed)
    fitted = time.perf_counter()
    agent, kind = CheckedAgent(contestant), contestant_kind(contestant)
    if kind == "position":
        rules = backtest if backtest is not None else BacktestConfig()
        probabilities = _answers_with_account(agent, prepared.test, rules)
    else:
        probabilities = _answers(agent, prepared.test)
    return ContestantAnswers(
        kind=kind,
        probabilities=probabilities,
        seconds_fit=fitted - started,
        seconds_answer=time.perf_counter() - fitted,
    )


class CheckedAgent:
    """A contestant as an `Agent` whose answers are looked at before they are believed.

    Args:
        contestant: whose answers.

    Attributes:
        latest: float32 [B, 3], the latest answer.
    """

    latest: Floats32

    def __init__(self, contestant: Contestant) -> None:
        self.name = contestant.name
        self._contestant = contestant

    def signals(self, inputs: ModelInputs) -> Signals:
        """The contestant's probabilities.

        Raises:
            ContestantError: they are none.
        """
        self.latest = checked_probabilities(self._contestant.signals(inputs), len(inputs))
        return Signals(probabilities=self.latest)


class _RowPolicy:
    """Asks an agent at the dataset's rows only, so that its trades follow from its answers there alone."""

    def __init__(self, agent: CheckedAgent, rows: PooledDataset) -> None:
        self.answers = np.zeros((len(rows), 3), dtype=np.float32)
        self.answers[:, Action.HOLD] = 1.0
        self._agent, self._policy = agent, AgentPolicy(agent, rows.markets)
        self._row = [np.full(len(market), -1, dtype=np.int64) for market in rows.markets]
        for row, (market, bar) in enumerate(zip(rows.market, rows.end, strict=True)):
            self._row[market][bar] = row

    def act(self, market: Indices, bar: Indices, account: Floats32) -> Actions:
        """HOLD where no row stands."""
        rows = np.array([self._row[m][t] for m, t in zip(market, bar, strict=True)], dtype=np.int64)
        asked = rows >= 0
        actions = np.full(len(rows), Action.HOLD, dtype=np.int8)
        if asked.any():
            actions[asked] = self._policy.act(market[asked], bar[asked], account[asked])
            self.answers[rows[asked]] = self._agent.latest
        return actions


def _answers(agent: CheckedAgent, rows: PooledDataset) -> Floats32:
    starts = range(0, len(rows), _BATCH)
    parts = [np.arange(start, min(start + _BATCH, len(rows))) for start in starts]
    return np.concatenate([agent.signals(rows.inputs(part)).probabilities for part in parts])


def _answers_with_account(agent: CheckedAgent, rows: PooledDataset, rules: BacktestConfig) -> Floats32:
    policy = _RowPolicy(agent, rows)
    decide_on_grounds(policy, grounds(rows, rules), rules.environment("position"))
    return policy.answers


def _refuse(bad: Any, stated: NDArray[np.float64], expected: str) -> None:
    """`bad`: bool [N], the rows that are not as expected."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        shown = ", ".join(f"{value:.4g}" for value in stated[row])
        raise ContestantError(
            f"signals: expected {expected} in every row, found {int(bad.sum())} of {len(bad)} rows without, "
            f"the first of them [{shown}] in row {row}."
        )
