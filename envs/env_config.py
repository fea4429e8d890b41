"""`EnvConfig`: everything that can be chosen about an environment besides its data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Literal

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.windows import WINDOW

ActionMode = Literal["order", "target", "continuous"]
RewardName = Literal["log_equity", "profit", "differential_sharpe", "drawdown_penalised"]

ACTION_MODES: tuple[ActionMode, ...] = ("order", "target", "continuous")
REWARDS: tuple[RewardName, ...] = ("log_equity", "profit", "differential_sharpe", "drawdown_penalised")
MAX_DELAY_BARS = 2


@dataclass(frozen=True, kw_only=True)
class EnvConfig:
    """How an account trades, what it starts with, and when an episode starts and ends."""

    window: int = WINDOW
    """Bars in an observation; fewer show less past, more than 60 are refused."""
    actions: ActionMode = "order"
    """"order": HOLD/BUY/SELL one unit; "target": wanted units; "continuous": wanted share of the leverage."""
    max_units: int = 1
    """Largest position in units; raising it cuts the same total into smaller orders; 1 if "continuous"."""
    leverage: float = 1.0
    """Notional of a full position as a multiple of equity; raising it brings liquidation nearer."""
    leverage_range: tuple[float, float] | None = None
    """Draw each episode's leverage from here instead, log-uniformly; wider makes policies more robust."""
    initial_balance: float = 10_000.0
    """Quote currency at the start of an episode."""
    episode_bars: int = 0
    """Steps until truncation; 0 goes on to the end of the data or the next long gap."""
    random_start: bool = False
    """Start at a random usable bar instead of the first."""
    random_length: bool = False
    """Draw each episode's length from half of `episode_bars` to all of it, which spreads resets over time."""
    start: int = 0
    """First bar at whose close a decision may be taken; windows may reach back before it."""
    stop: int | None = None
    """Bar at which the data ends, itself excluded; None is the end of the market."""
    reward: RewardName = "log_equity"
    """Which reward; see `quantum_trader.envs.rewards`."""
    reward_rate: float = 0.01
    """differential_sharpe: weight of the newest return in its moving averages; raising it forgets faster."""
    drawdown_penalty: float = 1.0
    """drawdown_penalised: how much a deepening drawdown counts against the log return."""
    observe_account: bool = True
    """False leaves the bare window as the observation."""
    delay_bars: int = 0
    """Bars an order waits beyond the next open (0 to 2), for asking what slowness costs."""
    cost_multiplier: float = 1.0
    """Factor on the contract's fees and slippage; 0 trades for free."""
    cost_range: tuple[float, float] | None = None
    """Draw a further factor on fees and slippage for each episode from here, uniformly."""
    equity_floor: float = 0.05
    """Share of the initial balance at or below which the episode terminates."""
    take_profit_atr: float = 0.0
    """Distance of the take-profit from the entry in ATRs at entry; 0 is off."""
    stop_loss_atr: float = 0.0
    """Distance of the stop-loss from the entry in ATRs at entry; 0 is off."""
    max_holding_bars: int = 0
    """Bars after which a position is closed at the open; 0 is off."""

    def __post_init__(self) -> None:
        _check_types(self)
        _one_of("actions", self.actions, ACTION_MODES)
        _one_of("reward", self.reward, REWARDS)
        _between("window", self.window, 1, WINDOW)
        _between("delay_bars", self.delay_bars, 0, MAX_DELAY_BARS)
        _between("max_units", self.max_units, 1, 100)
        for name in ("leverage", "initial_balance"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be a number above 0, found {getattr(self, name)!r}.")
        for name in ("leverage_range", "cost_range"):
            _range(name, getattr(self, name), above_zero=name == "leverage_range")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must not be negative, found {getattr(self, name)!r}.")
        if not self.equity_floor < 1.0:
            raise ConfigError(
                f"equity_floor is a share of the initial balance below 1, found {self.equity_floor!r}."
            )
        if self.stop is not None and self.stop <= self.start:
            raise ConfigError(f"stop must lie after start, {self.start}, found {self.stop}; widen them.")
        if self.random_length and self.episode_bars == 0:
            raise ConfigError("random_length needs episode_bars above 0: it is the longest length drawn.")
        if self.actions == "continuous" and self.max_units != 1:
            raise ConfigError('"continuous" actions are shares of the leverage: leave max_units at 1.')

    @property
    def leverages(self) -> tuple[float, float]:
        """Lowest and highest leverage that an episode may have."""
        return self.leverage_range or (self.leverage, self.leverage)

    @property
    def costs(self) -> tuple[float, float]:
        """Lowest and highest factor on fees and slippage that an episode may have."""
        low, high = self.cost_range or (1.0, 1.0)
        return self.cost_multiplier * low, self.cost_multiplier * high

    def full_pass(self) -> EnvConfig:
        """The same rules without chance: one episode from the first usable bar to the last."""
        return replace(
            self,
            episode_bars=0,
            random_start=False,
            random_length=False,
            leverage_range=None,
            cost_range=None,
        )


_NOT_NEGATIVE = (
    "episode_bars",
    "start",
    "reward_rate",
    "drawdown_penalty",
    "cost_multiplier",
    "equity_floor",
    "take_profit_atr",
    "stop_loss_atr",
    "max_holding_bars",
)


_WHOLE = ("window", "max_units", "episode_bars", "start", "stop", "delay_bars", "max_holding_bars")
_NUMBERS = ("leverage", "initial_balance", *(name for name in _NOT_NEGATIVE if name not in _WHOLE))


def _check_types(config: EnvConfig) -> None:
    for names, kind, what in ((_WHOLE, Integral, "a whole number"), (_NUMBERS, Real, "a number")):
        for name in names:
            value = getattr(config, name)
            if not isinstance(value, kind) and not (name == "stop" and value is None):
                raise ConfigError(f"{name} must be {what}, found {value!r}.")


def _range(name: str, value: tuple[float, float] | None, *, above_zero: bool) -> None:
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) != 2 or not all(isinstance(end, Real) for end in value):
        raise ConfigError(f"{name} must be two numbers such as (1.0, 5.0), found {value!r}.")
    low, high = value
    if not (low > 0.0 if above_zero else low >= 0.0) or not low <= high < float("inf"):
        start = "above 0" if above_zero else "of 0 or more"
        raise ConfigError(f"{name} must be a lower bound {start} and an upper one, found {value!r}.")


def _one_of(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ConfigError(f"{name} must be one of {', '.join(options)}, found {value!r}.")


def _between(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must lie between {low} and {high}, found {value!r}.")
