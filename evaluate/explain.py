"""`explain_rows`: where an agent looks, averaged over test rows, and what it loses without each input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.live import LiveAgent
from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.explanation import Band, Explanation, Floats, effective_number
from quantum_trader.evaluate.inside import look_inside
from quantum_trader.evaluate.shuffling import shuffle_places
from quantum_trader.train.dataset import PooledDataset

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """How much is looked at."""

    rows: int = 2_000
    """Most rows behind attention, selection weights and quantiles; more is slower and hardly different."""
    shuffled_rows: int = 1_000
    """Most rows behind each shuffled place; more narrows the intervals and takes longer: every place is one
    pass through the agent. Rows nearer than `spacing` are not taken, so that few rows may mean fewer."""
    spacing: int = 3
    """Of how many neighbouring rows one is shuffled: their labels overlap, so that all of them say little
    more than a few."""
    seed: int = 0
    """Seed of the shuffling and of the intervals."""
    block_bars: float = 24.0
    """Mean block of the intervals' bootstrap in bars, at least the label's length."""
    draws: int = 500
    """Resamples behind each interval."""


def explain_rows(agent: LiveAgent, test: PooledDataset, config: ExplainConfig | None = None) -> Explanation:
    """Explain what an agent says of `test`.

    Attention and selection weights come from a network's own layers and are None for other agents. What an
    agent loses by shuffling is known of all. The same arguments give the same numbers.

    Args:
        agent: a trained agent.
        test: labelled rows it was not fitted on.
        config: how much is looked at.
    """
    config = config or ExplainConfig()
    rows = thinned(len(test), config.rows)
    inputs = test.inputs(rows)
    signals, inside = agent.signals(inputs), look_inside(agent, inputs)
    actions = Gate(hold_threshold=agent.hold_threshold).decide(signals.probabilities)
    steps = inside.steps if inside is not None else None
    importances = inside.importances if inside is not None else None
    static = inside.static if inside is not None else None
    attention = inside.attention if inside is not None else None
    quantiles = signals.quantiles
    shuffled_rows = thinned(len(test), min(config.shuffled_rows, -(-len(test) // config.spacing)))
    log_loss, shuffled = shuffle_places(
        agent,
        test.inputs(shuffled_rows),
        test.action[shuffled_rows],
        seed=config.seed,
        bootstrap=_in_rows(test, len(shuffled_rows), config),
    )
    counts = np.bincount(actions, minlength=len(Action))
    return Explanation(
        agent=agent.name,
        rows=len(rows),
        action_rows=(int(counts[0]), int(counts[1]), int(counts[2])),
        attention=Band.of(attention) if attention is not None else None,
        attention_by_action=_by_action(attention, actions) if attention is not None else None,
        effective_bars=Band.of(effective_number(attention)) if attention is not None else None,
        importances=Band.of(importances) if importances is not None else None,
        steps=steps.mean(axis=0, dtype=np.float64) if steps is not None else None,
        joint=_joint(attention, steps) if attention is not None and steps is not None else None,
        static_importances=Band.of(static) if static is not None else None,
        quantiles=quantiles.mean(axis=0, dtype=np.float64) if quantiles is not None else None,
        quantiles_by_action=_by_action(quantiles, actions) if quantiles is not None else None,
        shuffled_rows=len(shuffled_rows),
        log_loss=log_loss,
        shuffled=shuffled,
    )


def thinned(rows: int, most: int) -> Rows:
    """int64 [min(rows, most)]: that many of `rows` positions, evenly spaced, the last among them."""
    return np.linspace(0, rows - 1, min(rows, max(most, 1))).astype(np.int64)


def _by_action(values: NDArray[np.float32], actions: NDArray[np.int8]) -> Floats:
    """float64 [3, ...]: mean of float32 [N, ...] over the rows of each action; NaN where it has none."""
    means = np.full((len(Action), *values.shape[1:]), np.nan)
    for action in Action:
        if (actions == action).any():
            means[action] = values[actions == action].mean(axis=0, dtype=np.float64)
    return means


def _joint(attention: NDArray[np.float32], steps: NDArray[np.float32]) -> Floats:
    """float64 [60, 14]: mean over rows of attention to the bar times selection weight in it."""
    joint: Floats = np.einsum("nt,ntf->tf", attention, steps, dtype=np.float64) / len(attention)
    return joint


def _in_rows(test: PooledDataset, rows: int, config: ExplainConfig) -> BootstrapConfig:
    """The bootstrap of `rows` evenly spaced rows, its block counted in them."""
    moments = len(np.unique(test.timestamps))
    block = max(config.block_bars * rows / moments, 1.0)
    return BootstrapConfig(block_bars=block, draws=config.draws, seed=config.seed)
