"""What explaining an agent comes to: plain records that become explanations.json and feed the figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS, STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import to_json

Floats = NDArray[np.float64]

Group = Literal["feature", "static", "bars", "part"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """How something is spread over rows; arrays have the shape of one row's value.

    Attributes:
        mean: float64 [...].
        low, high: float64 [...], 10 % and 90 % quantiles over the rows.
    """

    mean: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, values: NDArray[Any]) -> Band:
        """The spread of float [N, ...] over its rows."""
        low, high = np.quantile(values.astype(np.float64), (0.1, 0.9), axis=0)
        return cls(mean=values.mean(axis=0, dtype=np.float64), low=np.asarray(low), high=np.asarray(high))


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """What the agent loses when it is given another row's numbers in one place."""

    name: str
    """A feature, a static number, bars, e.g. "-59 to -50", or "window", "static numbers", "calendar"."""
    group: Group
    """What the name is a name of; "bars" are all features of some bars, "part" is a whole array of inputs."""
    increase: Interval
    """Mean increase of the log-loss in nats; zero is no use, below zero is noise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where an agent looks, averaged over test rows, and what it would miss; None where it has no such thing.

    Attributes:
        agent: its name.
        rows: rows looked at, evenly spaced over the test rows.
        action_rows: how many of them it answers with HOLD, BUY, SELL, by its own hold threshold.
        attention: [60], weight of each bar of the window, oldest first; rows sum to 1.
        attention_by_action: float64 [3, 60], mean over the rows of each action; NaN where it has no row.
        effective_bars: [], e to the entropy of the attention: 60 if all bars weigh the same, 1 if one does.
        feature_names: names of the features.
        importances: [14], selection weight of each feature, mean over the bars; rows sum to 1.
        steps: float64 [60, 14], mean selection weight bar by bar; each bar sums to 1.
        joint: float64 [60, 14], mean of attention to the bar times selection weight in it; sums to 1.
        static_names: names of the static numbers.
        static_importances: [6], selection weight of each static number; rows sum to 1.
        horizons: bars ahead of the quantiles.
        quantiles: float64 [H, 3], mean Q10, Q50, Q90 of the forward log return.
        quantiles_by_action: float64 [3, H, 3], the same over the rows of each action; NaN where it has none.
        shuffled_rows: rows behind `log_loss` and `shuffled`.
        log_loss: mean of -ln P(label) on them, nats.
        shuffled: what the agent loses, place by place.
    """

    agent: str
    rows: int
    action_rows: tuple[int, int, int]
    attention: Band | None = None
    attention_by_action: Floats | None = None
    effective_bars: Band | None = None
    feature_names: tuple[str, ...] = FEATURE_NAMES
    importances: Band | None = None
    steps: Floats | None = None
    joint: Floats | None = None
    static_names: tuple[str, ...] = STATIC_NAMES
    static_importances: Band | None = None
    horizons: tuple[int, ...] = HORIZONS
    quantiles: Floats | None = None
    quantiles_by_action: Floats | None = None
    shuffled_rows: int = 0
    log_loss: float = float("nan")
    shuffled: tuple[Shuffled, ...] = ()

    def lost(self, group: Group) -> tuple[Shuffled, ...]:
        """The entries of one group, in the order of its names; bars oldest first."""
        return tuple(item for item in self.shuffled if item.group == group)


@dataclass(frozen=True, kw_only=True, eq=False)
class Without:
    """What an agent would have said without one input."""

    name: str
    """As in `Shuffled.name`."""
    group: Group
    """What the name is a name of."""
    probabilities: Floats
    """float64 [3], in the order of `Action`, with the input at what it usually is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One answer of an agent and what stands behind it; None where the agent has no such thing.

    Attributes:
        agent: its name.
        symbol: what the answer is about; "" where nobody said.
        timestamp: open of the bar decided on, milliseconds since the epoch, UTC, or None.
        action: BUY, SELL or HOLD.
        confidence: max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)).
        hold_threshold: P(HOLD) from which on the action is HOLD.
        probabilities: float64 [3], in the order of `Action`.
        horizons: bars ahead of the quantiles.
        quantiles: float64 [H, 3], Q10, Q50, Q90 of the forward log return.
        attention: float64 [60], weight of each bar, oldest first, sums to 1.
        feature_names: names of the features.
        importances: float64 [14], selection weight of each feature, mean over the bars, sums to 1.
        steps: float64 [60, 14], selection weights bar by bar; each bar sums to 1.
        static_names: names of the static numbers.
        static_importances: float64 [6], selection weight of each static number, sums to 1.
        without: what it would have said without one input, input by input.
    """

    agent: str
    symbol: str
    timestamp: int | None
    action: Action
    confidence: float
    hold_threshold: float
    probabilities: Floats
    horizons: tuple[int, ...] = HORIZONS
    quantiles: Floats | None = None
    attention: Floats | None = None
    feature_names: tuple[str, ...] = FEATURE_NAMES
    importances: Floats | None = None
    steps: Floats | None = None
    static_names: tuple[str, ...] = STATIC_NAMES
    static_importances: Floats | None = None
    without: tuple[Without, ...]

    def effects(self, group: Group) -> tuple[Effect, ...]:
        """What each input of a group added to the answer."""
        return tuple(self._effect(item) for item in self.without if item.group == group)

    def _effect(self, item: Without) -> Effect:
        added = self.probabilities - item.probabilities
        direction = float(added[Action.BUY] - added[Action.SELL])
        return Effect(name=item.name, direction=direction, hold=float(added[Action.HOLD]))


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one input added to an answer: the answer less what it would have been without the input."""

    name: str
    """The input."""
    direction: float
    """Added to P(BUY) - P(SELL); above zero it spoke for BUY."""
    hold: float
    """Added to P(HOLD)."""


def effective_number(weights: NDArray[Any]) -> Floats:
    """float64 [...]: e to the entropy of float [..., n] that sum to 1: how many equal weights say as much."""
    shares = np.maximum(weights.astype(np.float64), 0.0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    number: Floats = np.exp(-(shares * logs).sum(axis=-1))
    return number


def explanation_json(record: Any) -> Any:
    """A record of this module as plain JSON values of six significant digits; what is undefined is null."""
    return to_json(_plain(record))


def write_explanations(path: Path, explanations: Sequence[Explanation]) -> None:
    """Write explanations.json, whole or not at all: an object with one entry an agent, by its name."""
    write_json(path, {found.agent: explanation_json(found) for found in explanations})


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Action):
        return value.name
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value
