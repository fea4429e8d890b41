"""Permutation importance (Breiman 2001): what an agent loses when a place holds another row's numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import Agent, ModelInputs
from quantum_trader.envs.context import STATIC_NAMES, STATIC_SIZE
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.evaluate.bootstrap import BootstrapConfig, paired_difference
from quantum_trader.evaluate.explanation import Group, Shuffled

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

STRETCH = 10
"""Bars that are shuffled, or set to their median, together."""

_SMALLEST_PROBABILITY = 1e-7
"""What a probability of zero counts as: the log-loss of a certainty that fails has no bound."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of an observation that can be taken from another row."""

    name: str
    group: Group
    bars: slice = field(default_factory=lambda: slice(0))
    """Bars of the window."""
    features: slice = field(default_factory=lambda: slice(None))
    """Features in those bars."""
    context: slice = field(default_factory=lambda: slice(0))
    """Numbers of the context vector."""

    def copy(self, source: ModelInputs, target: ModelInputs, rows: Rows) -> None:
        """Write this part of `source`'s `rows`, int64 [B], into `target`, in place."""
        target.windows[:, self.bars, self.features] = source.windows[rows, self.bars, self.features]
        target.context[:, self.context] = source.context[rows, self.context]

    def clear(self, target: ModelInputs, row: int) -> None:
        """Set this part of one row to 0: the training median of a feature, neutral in a static number."""
        target.windows[row, self.bars, self.features] = 0.0
        target.context[row, self.context] = 0.0

    def varies(self, inputs: ModelInputs) -> bool:
        """Whether any two rows differ here."""
        windows = inputs.windows[:, self.bars, self.features]
        context = inputs.context[:, self.context]
        return bool((windows != windows[:1]).any() or (context != context[:1]).any())


def places(inputs: ModelInputs) -> list[Place]:
    """Features, static numbers, stretches of bars, and the three parts of an observation, in that order."""
    return [
        *(
            Place(name=name, group="feature", bars=slice(None), features=slice(column, column + 1))
            for column, name in enumerate(FEATURE_NAMES)
        ),
        *(
            Place(name=name, group="static", context=slice(column, column + 1))
            for column, name in enumerate(STATIC_NAMES)
        ),
        *stretches(inputs.windows.shape[1]),
        Place(name="window", group="part", bars=slice(None)),
        Place(name="static numbers", group="part", context=slice(STATIC_SIZE)),
        Place(name="calendar", group="part", context=slice(STATIC_SIZE, None)),
    ]


def stretches(bars: int) -> Iterator[Place]:
    """All features of `STRETCH` bars at a time, oldest first."""
    for start in range(0, bars, STRETCH):
        stop = min(start + STRETCH, bars)
        yield Place(name=f"{start + 1 - bars} to {stop - bars}", group="bars", bars=slice(start, stop))


def shuffle_places(
    agent: Agent, inputs: ModelInputs, labels: NDArray[np.int8], *, seed: int, bootstrap: BootstrapConfig
) -> tuple[float, tuple[Shuffled, ...]]:
    """The agent's log-loss, and its increase when one place after the other is shuffled across rows.

    A shuffled place keeps its distribution and loses its connection with the label and with all else in the
    row. Two features that say the same stand in for each other, so that either seems useless.

    Args:
        agent: any agent with probabilities.
        inputs: `B` observations.
        labels: int8 [B], `Action` values.
        seed: of the shuffling.
        bootstrap: how the intervals of the increase are drawn; `block_bars` counts rows here.
    """
    before = log_losses(agent, inputs, labels)
    random = np.random.default_rng(seed)
    found = []
    for place in places(inputs):
        order = random.permutation(len(inputs))
        after = before
        if place.varies(inputs):
            changed = replace(inputs, windows=inputs.windows.copy(), context=inputs.context.copy())
            place.copy(inputs, changed, order)
            after = log_losses(agent, changed, labels)
        increase = paired_difference(after, before, config=bootstrap)
        found.append(Shuffled(name=place.name, group=place.group, increase=increase))
    return float(before.mean()), tuple(found)


def log_losses(agent: Agent, inputs: ModelInputs, labels: NDArray[np.int8]) -> Floats:
    """float64 [B]: -ln P(label) of each row."""
    probabilities = agent.signals(inputs).probabilities.astype(np.float64)
    stated = probabilities[np.arange(len(labels)), labels]
    losses: Floats = -np.log(np.maximum(stated, _SMALLEST_PROBABILITY))
    return losses
