"""`explain_one` and `explain_live`: what stands behind one answer of an agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.history import LiveHistories
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import ModelInputs, directional_confidence
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CALENDAR_NAMES, HORIZONS, STATIC_SIZE
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.explanation import Floats, Prediction, Without
from quantum_trader.evaluate.inside import look_inside
from quantum_trader.evaluate.shuffling import Place, places

_HOURS = 24
"""Hours of the day, over which an answer is averaged where the calendar is to say nothing."""


def explain_one(
    agent: LiveAgent, inputs: ModelInputs, row: int = 0, *, symbol: str = "", timestamp: int | None = None
) -> Prediction:
    """Explain what an agent says of one observation.

    Besides the network's own weights, the agent is asked again with one input after the other as it usually
    is, to see what the answer hangs on, whatever the weights say: features at their training median in all
    bars or all of them in ten bars, static numbers at 0, and the calendar averaged over the 24 hours around.

    Args:
        agent: a trained agent.
        inputs: `B` observations.
        row: which of them.
        symbol, timestamp: kept with the record.

    Raises:
        DataError: the observation holds numbers that are not finite, of which nothing can be explained.
    """
    one = ModelInputs(
        windows=np.ascontiguousarray(inputs.windows[row][None]),
        context=np.ascontiguousarray(inputs.context[row][None]),
    )
    if not (np.isfinite(one.windows).all() and np.isfinite(one.context).all()):
        raise DataError("The observation holds numbers that are not finite: no answer can be explained.")
    asked = [place for place in places(one) if place.group != "part"]
    signals = agent.signals(_variants(one, asked))
    inside = look_inside(agent, one)
    probabilities = signals.probabilities.astype(np.float64)
    steps = inside.steps if inside is not None else None
    static = inside.static if inside is not None else None
    cleared = zip(asked, probabilities[1 : 1 + len(asked)], strict=True)
    without = [Without(name=place.name, group=place.group, probabilities=said) for place, said in cleared]
    other_hours = probabilities[1 + len(asked) :].mean(axis=0)
    return Prediction(
        agent=agent.name,
        symbol=symbol,
        timestamp=timestamp,
        action=Action(int(Gate(hold_threshold=agent.hold_threshold).decide(signals.probabilities[:1])[0])),
        confidence=float(directional_confidence(signals.probabilities[:1])[0]),
        hold_threshold=agent.hold_threshold,
        probabilities=probabilities[0],
        quantiles=_first(signals.quantiles),
        attention=_first(inside.attention) if inside is not None else None,
        importances=_first(inside.importances) if inside is not None else None,
        steps=_first(steps),
        static_importances=_first(static),
        without=(*without, Without(name="calendar", group="part", probabilities=other_hours)),
    )


def explain_live(agent: LiveAgent, symbol: str, histories: LiveHistories | None = None) -> Prediction:
    """Explain the newest answer about `symbol`, from the history that the agent was fed.

    Args:
        agent: a trained agent that has been asked about `symbol`, or given its history.
        symbol: whose newest bar it is.
        histories: where the bars are, if not in the agent itself, e.g. an Arbiter's.

    Raises:
        DataError: the symbol's window is not full yet.
    """
    known = histories if histories is not None else agent.histories
    length = known[symbol].length if symbol in known else 0
    if length < WINDOW:
        raise DataError(
            f"{symbol}: expected {WINDOW} bars of history to explain an answer, found {length}; "
            "add more with add_to_history."
        )
    inputs = known.inputs([symbol], agent.scaler)
    return explain_one(agent, inputs, symbol=symbol, timestamp=known[symbol].last_timestamp)


def _variants(one: ModelInputs, asked: Sequence[Place]) -> ModelInputs:
    """The observation, a row a place with that place cleared, and a row an hour of the day around it."""
    count = 1 + len(asked)
    hours = np.arange(-_HOURS // 2, _HOURS // 2)
    rows = replace(
        one,
        windows=np.repeat(one.windows, count + len(hours), axis=0),
        context=np.repeat(one.context, count + len(hours), axis=0),
    )
    for number, place in enumerate(asked, start=1):
        place.clear(rows, number)
    for number, hour in enumerate(hours, start=count):
        _turn_clock(rows.context[number], int(hour))
    return rows


def _turn_clock(context: NDArray[np.float32], hours: int) -> None:
    """Move the calendar in float32 [CONTEXT_SIZE] by some hours, in place."""
    points = context[STATIC_SIZE:].reshape(len(HORIZONS), len(CALENDAR_NAMES) // 2, 2)
    angles = 2 * np.pi * hours / np.array([_HOURS, 7 * _HOURS])
    sine, cosine = points[..., 0].copy(), points[..., 1].copy()
    points[..., 0] = sine * np.cos(angles) + cosine * np.sin(angles)
    points[..., 1] = cosine * np.cos(angles) - sine * np.sin(angles)


def _first(values: NDArray[np.float32] | None) -> Floats | None:
    return None if values is None else values[0].astype(np.float64)
