"""Rules that any trained agent has to beat. Each is an `Agent`: stateless, and deterministic row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler
from quantum_trader.envs.windows import WINDOW

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LOG_RETURN = FEATURE_NAMES.index("log_return")
_EMA_FAST = FEATURE_NAMES.index("ema_10_gap")
_EMA_SLOW = FEATURE_NAMES.index("ema_50_gap")


@dataclass(frozen=True, kw_only=True)
class AlwaysHold:
    """HOLD with certainty: the figure of doing nothing."""

    name: str = "always_hold"

    def signals(self, inputs: ModelInputs) -> Signals:
        """HOLD for every row."""
        return _certain(np.full(len(inputs), Action.HOLD))


@dataclass(frozen=True, kw_only=True)
class BuyAndHold:
    """BUY with certainty: with position size capped, one purchase that is kept."""

    name: str = "buy_and_hold"

    def signals(self, inputs: ModelInputs) -> Signals:
        """BUY for every row."""
        return _certain(np.full(len(inputs), Action.BUY))


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """BUY after a rise over the last `bars` bars, SELL after a fall, HOLD after neither.

    The windows must have been scaled by `scaler`; a return beyond the scaler's clip counts as the clip.
    """

    bars: int = 1
    """Bars that the return spans, at most the window's 60; more gives rarer changes of side."""
    scaler: FeatureScaler = REFERENCE_SCALER
    """What scaled the windows: a sign is only known in unscaled units."""

    def __post_init__(self) -> None:
        if not 1 <= self.bars <= WINDOW:
            raise ConfigError(f"bars: expected 1 to {WINDOW}, the bars of a window, found {self.bars}.")

    @property
    def name(self) -> str:
        """Identifier with the span."""
        return f"momentum_{self.bars}"

    def signals(self, inputs: ModelInputs) -> Signals:
        """The sign of the last returns' sum, with certainty."""
        returns = _unscaled(inputs.windows[:, -self.bars :], _LOG_RETURN, self.scaler).sum(axis=1)
        # Scaling and back costs a few float32 roundings: a bar that did not move must not become a signal.
        still = self.bars * 1e-6 * self.scaler.scale[_LOG_RETURN]
        return _certain(_sides(returns > still, returns < -still))


@dataclass(frozen=True, kw_only=True)
class EmaCross:
    """BUY while EMA(10) stands above EMA(50), SELL while below."""

    scaler: FeatureScaler = REFERENCE_SCALER
    """What scaled the windows."""
    name: str = "ema_cross"

    def signals(self, inputs: ModelInputs) -> Signals:
        """The side of the averages at the last bar, with certainty."""
        # The gaps are C / EMA - 1: the smaller gap belongs to the higher average.
        last = inputs.windows[:, -1:]
        fast = _unscaled(last, _EMA_FAST, self.scaler)[:, 0]
        slow = _unscaled(last, _EMA_SLOW, self.scaler)[:, 0]
        return _certain(_sides(fast < slow, fast > slow))


@dataclass(frozen=True, kw_only=True)
class PriorClass:
    """The training rows' class shares for every row: the log-loss that skill is measured from."""

    shares: tuple[float, float, float]
    """Shares of HOLD, BUY, SELL among training rows; they sum to 1."""
    name: str = "prior_class"

    @classmethod
    def of(cls, actions: NDArray[np.integer]) -> PriorClass:
        """From the labels of training rows, integers [N] with `Action` values."""
        hold, buy, sell = np.bincount(actions, minlength=3)[:3] / max(len(actions), 1)
        return cls(shares=(float(hold), float(buy), float(sell)))

    def signals(self, inputs: ModelInputs) -> Signals:
        """The shares for every row."""
        return Signals(probabilities=np.tile(np.asarray(self.shares, dtype=np.float32), (len(inputs), 1)))


@dataclass(frozen=True, kw_only=True)
class CoinFlip:
    """BUY, SELL or HOLD by chance, with given shares: what an agent's turnover earns without its skill.

    A row's draw is a hash of `seed` and of what the row shows, so that it does not depend on how rows are
    batched or ordered, a backtest and a live run flip alike, and two seeds flip independently. Flips follow
    one another at random: give the shares that reach the wanted turnover, not those of an agent that keeps
    to its side for long.
    """

    buy_share: float
    """Share of BUY."""
    sell_share: float
    """Share of SELL; HOLD has the rest."""
    seed: int = 0
    """Another seed, another sequence of flips."""

    def __post_init__(self) -> None:
        if not (
            self.buy_share >= 0 and self.sell_share >= 0 and self.buy_share + self.sell_share <= 1 + 1e-9
        ):
            raise ConfigError(
                "buy_share and sell_share: expected shares of at least 0 that sum to at most 1, "
                f"found {self.buy_share} and {self.sell_share}."
            )

    @property
    def name(self) -> str:
        """Identifier with the seed."""
        return f"coin_flip_{self.seed}"

    def signals(self, inputs: ModelInputs) -> Signals:
        """One draw a row, with certainty."""
        draw = _hashed_uniform(inputs, self.seed)
        buys = draw < self.buy_share
        return _certain(_sides(buys, ~buys & (draw < self.buy_share + self.sell_share)))


def _certain(actions: NDArray[np.integer]) -> Signals:
    return Signals(probabilities=np.eye(3, dtype=np.float32)[actions])


def _sides(buys: Mask, sells: Mask) -> NDArray[np.int64]:
    return np.where(buys, int(Action.BUY), np.where(sells, int(Action.SELL), int(Action.HOLD)))


def _unscaled(windows: Floats32, column: int, scaler: FeatureScaler) -> NDArray[np.float64]:
    """float64 [B, n]: one feature of `windows` [B, n, 14] in its own units."""
    return windows[:, :, column].astype(np.float64) * scaler.scale[column] + scaler.center[column]


def _hashed_uniform(inputs: ModelInputs, seed: int) -> NDArray[np.float64]:
    """float64 [B] in [0, 1): splitmix64 over the bits of each row's last bar and context."""
    seen = np.concatenate([inputs.windows[:, -1], inputs.context], axis=1, dtype=np.float32)
    state = _mixed(np.full(len(seen), seed % 2**64, dtype=np.uint64))
    for column in np.ascontiguousarray(seen).view(np.uint32).T:
        state = _mixed(state ^ column.astype(np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The splitmix64 step (Steele, Lea, Flood 2014); unsigned overflow wraps as intended."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)
