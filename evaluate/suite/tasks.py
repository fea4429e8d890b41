"""Named suites of tasks: markets of which the truth is known, and real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import direction
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.run_data import PlantedKind, planted_accuracy, planted_source

Claim = Literal["edge", "nobody", "open"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A market that agents are compared on."""

    name: str
    """Identifier in tables and folders."""
    title: str
    """What it asks, one line."""
    market: MarketConfig
    """Where the bars come from and what trading them costs."""
    claim: Claim
    """"edge": money can be made here; "nobody": nobody can win; "open": nobody knows."""
    bayes_accuracy: float | None = None
    """Chance that the best possible forecaster of the direction is right on cue rows; None where unknown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is known of a planted market.

    Attributes:
        cue_time: int64 [K], open of each cue bar, milliseconds since the epoch, UTC, ascending.
        side: int8 [K], +1 where a rise is foretold, -1 where a fall.
        bayes_accuracy: chance that the foretold move comes.
    """

    cue_time: NDArray[np.int64]
    side: NDArray[np.int8]
    bayes_accuracy: float


def _planted(name: PlantedKind, title: str) -> Task:
    return Task(
        name=name,
        title=title,
        market=MarketConfig(data=name),
        claim="edge",
        bayes_accuracy=planted_accuracy(name),
    )


def independent_rows(accuracy: float, *, power: float = 0.8, level: float = 0.05) -> int:
    """Independent predictions that tell an accuracy from a coin's, one-sided (normal approximation).

    Args:
        accuracy: in (0.5, 1].
        power: chance to notice it.
        level: chance to take a coin for it.
    """
    normal = NormalDist()
    spread = math.sqrt(accuracy * (1.0 - accuracy))
    needed = (0.5 * normal.inv_cdf(1.0 - level) + spread * normal.inv_cdf(power)) / (accuracy - 0.5)
    return math.ceil(needed**2)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _planted("planted-easy", "Cue bars tell the next six bars' direction: every learner should find it."),
        _planted(
            "planted-hard",
            "Cue bars tell the next bar's direction, barely: "
            f"{independent_rows(planted_accuracy('planted-hard')):,} of them tell it from luck.",
        ),
        _planted(
            "order",
            "The order of two earlier bars tells a jump's direction: a matter of memory.",
        ),
        Task(
            name="random-walk",
            title="Independent returns: whoever wins was lucky.",
            market=MarketConfig(data="random-walk"),
            claim="nobody",
        ),
        Task(
            name="sample",
            title="EURUSD by the hour, 2017: real, and nobody knows.",
            market=MarketConfig(data="sample"),
            claim="open",
        ),
    )
}
"""The tasks that come with this software, by name."""

SUITES: dict[str, tuple[str, ...]] = {
    "standard": tuple(TASKS),
    "planted": ("planted-easy", "planted-hard", "order"),
    "quick": ("planted-easy", "random-walk"),
    "none": (),
}
"""Names of the tasks of each suite; "none" is for those who bring data of their own."""


def suite(name: str) -> tuple[Task, ...]:
    """The tasks of a suite.

    Raises:
        ConfigError: there is no such suite.
    """
    if name not in SUITES:
        raise ConfigError(f"suite: expected one of {', '.join(SUITES)}, found {name!r}.")
    return tuple(TASKS[task] for task in SUITES[name])


def truth(data: str) -> Truth | None:
    """What is known of a data source, see `MarketConfig.data`; None where nothing was planted."""
    market = planted_source(data)
    if market is None:
        return None
    rows = np.flatnonzero(market.cue)
    return Truth(
        cue_time=market.bars.timestamp[rows], side=market.cue[rows], bayes_accuracy=market.bayes_accuracy
    )


def edge_share(
    truth: Truth, timestamps: NDArray[np.int64], labels: NDArray[Any], probabilities: NDArray[Any]
) -> float:
    """Share of a planted edge that an agent found.

    Its direction accuracy above a coin's on cue rows whose label is not HOLD, over that of a forecaster that
    knows the truth, on the same rows: 0 is a coin, 1 the best possible; luck leads beyond either.

    Args:
        truth: of the market.
        timestamps: int64 [N], opens of the decision bars, milliseconds since the epoch, UTC.
        labels: integer [N], `Action` values.
        probabilities: float [N, 3], columns in the order of `Action`.

    Returns:
        NaN without such rows, or where knowing the truth was no better than a coin on them.
    """
    side = _side_at(truth, timestamps)
    rows = (side != 0) & (labels != Action.HOLD)
    if not rows.any():
        return math.nan
    rose = labels[rows] == Action.BUY
    best = float(np.mean((side[rows] > 0) == rose)) - 0.5
    found = float(np.mean((direction(probabilities[rows]) == Action.BUY) == rose)) - 0.5
    return found / best if best > 0 else math.nan


def cue_rows(truth: Truth, timestamps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool [N]: the rows at which the truth foretells something."""
    cued: NDArray[np.bool_] = _side_at(truth, timestamps) != 0
    return cued


def _side_at(truth: Truth, timestamps: NDArray[np.int64]) -> NDArray[np.int8]:
    """int8 [N]: the side foretold at each row, 0 where nothing is."""
    side = np.zeros(len(timestamps), dtype=np.int8)
    if len(truth.cue_time):
        place = np.minimum(np.searchsorted(truth.cue_time, timestamps), len(truth.cue_time) - 1)
        cued = truth.cue_time[place] == timestamps
        side[cued] = truth.side[place[cued]]
    return side
