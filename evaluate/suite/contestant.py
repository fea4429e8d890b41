"""What somebody's own agent has to offer to be compared, and how its answers are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.errors import QuantumTraderError
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


class CheckedAgent:
    """A contestant as an `Agent` whose answers are looked at before they are believed.

    Args:
        contestant: whose answers.
    """

    def __init__(self, contestant: Contestant) -> None:
        self.name = contestant.name
        self._contestant = contestant

    def signals(self, inputs: ModelInputs) -> Signals:
        """The contestant's probabilities.

        Raises:
            ContestantError: they are none.
        """
        found = self._contestant.signals(inputs)
        return Signals(probabilities=checked_probabilities(found, len(inputs)))


def _refuse(bad: Any, stated: NDArray[np.float64], expected: str) -> None:
    """`bad`: bool [N], the rows that are not as expected."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        shown = ", ".join(f"{value:.4g}" for value in stated[row])
        raise ContestantError(
            f"signals: expected {expected} in every row, found {int(bad.sum())} of {len(bad)} rows without, "
            f"the first of them [{shown}] in row {row}."
        )
