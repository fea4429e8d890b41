"""`FuturesTradingEnv`: one account trading one of several markets, as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from quantum_trader.envs.batch import open_accounts, step_single
from quantum_trader.envs.custom_reward import RewardFunction, put_rewards
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import JoinedMarkets, join_markets
from quantum_trader.envs.journal import Journal
from quantum_trader.envs.layout import (
    ACCOUNT,
    QUOTE,
    START,
    Account,
    records,
)
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.masks import action_masks
from quantum_trader.envs.observe import ACCOUNT_SIZE, gather_accounts
from quantum_trader.envs.records import (
    COLUMN,
    INFO_END,
    account_info,
    fills_frame,
    history_frame,
    open_trade,
    trades_frame,
)
from quantum_trader.envs.spaces import action_space, observation_space
from quantum_trader.envs.starts import chosen_row, draw_starts, start_limits
from quantum_trader.envs.windows import window_view

Floats32 = NDArray[np.float32]
Observation = dict[str, Floats32] | Floats32

_FIRST = np.zeros(1, dtype=np.int64)
_STEPPED = np.ones(1, dtype=np.bool_)
_VIEWS = frozenset(("_run", "_bars", "_rules", "_context", "_windows", "_head", "_account"))
_REWARD, _TERMINATED, _TRUNCATED = (COLUMN[name] for name in ("reward", "terminated", "truncated"))


class FuturesTradingEnv(gymnasium.Env[Any, Any]):
    """One account trading one futures contract, bar by bar, with isolated margin.

    ## Description
    The agent sees the last 60 closed bars and its account, and buys or sells. Fills, fees, slippage, funding,
    margin brackets and liquidation follow the contract's rules (`quantum_trader.envs.rules` cites them). With
    several markets, each episode trades one of them.

    ## Action space
    `config.actions` chooses one of three.

    "order" (default), `Discrete(3)`: the position moves by one unit and stays within +-`max_units`.

    | number | action | flat | long one unit | short one unit |
    |---|---|---|---|---|
    | 0 | HOLD | stays flat | stays long | stays short |
    | 1 | BUY | opens a long | adds a unit, or nothing at `max_units` | covers: flat |
    | 2 | SELL | opens a short | closes: flat | adds a unit, or nothing at `max_units` |

    "target", `Discrete(2 max_units + 1)`: number n wants n - `max_units` units; a change of sign closes the
    old position and opens the new one at the same open.

    "continuous", `Box(-1, 1, (1,))`: the wanted notional as a share of leverage x equity; a changed number
    resizes the whole position, an unchanged one trades nothing.

    One unit is worth `leverage` x equity / `max_units` at the close the decision was taken on: gains
    compound. Units already held keep their size; HOLD never rebalances. An order is cut to what the free
    balance can margin (initial margin and fee; unrealised profit does not count) and to the notional that
    the venue allows at this leverage, rounded down to the lot, and not placed below the minimum notional.
    Orders that only close are never refused.

    ## Observation space
    `Dict(window, account, context)`, all float32; with `observe_account=False` the bare window. The window
    and the context never depend on the position.

    "window", `Box(-c, c, (60, 14))`: scaled features (`quantum_trader.envs.features`), oldest bar first, c
    the scaler's clip. "context", `Box((CONTEXT_SIZE,))`: static numbers and calendar ahead
    (`quantum_trader.envs.context`). "account", `Box((11,))`, P the mark at the close, E the equity:

    | index | name | formula | range | flat |
    |---|---|---|---|---|
    | 0 | position | units / max_units | [-1, 1] | 0 |
    | 1 | unrealised_pnl | unrealised pnl / E, clipped | [-1, 1] | 0 |
    | 2 | exposure | signed quantity x P / (leverage x E), clipped | [-2, 2] | 0 |
    | 3 | margin_ratio | maintenance margin / (margin + unrealised pnl); 1 is liquidation | [0, 1] | 0 |
    | 4 | liquidation_distance | distance from P to the liquidation price / P | [0, 1] | 1 |
    | 5 | bars_in_position | n / (n + 24), n counting the bar of the fill as 1 | [0, 1) | 0 |
    | 6 | time_to_funding | share of the funding interval left; 1 if none is known | [0, 1] | same |
    | 7 | drawdown | 1 - E / highest equity at a close of this episode | [0, 1] | same |
    | 8 | stop_distance | distance from P to the stop-loss / (10 ATR); 1 if there is none | [0, 1] | 1 |
    | 9 | target_distance | distance from P to the take-profit / (10 ATR); 1 if there is none | [0, 1] | 1 |
    | 10 | pending | change of units that delayed decisions still ask for / max_units | [-2, 2] | 0 |

    time_to_funding comes from the settlements seen so far and the clock, not from the schedule ahead.

    ## One step
    The decision at the close of bar t meets bar t+1 (t+1+`delay_bars`) in this order:

    1. if funding settles on the bar's open, the position carried in pays quantity x mark x rate;
    2. a position carried in is liquidated if the open is past its liquidation price, else closed after
       `max_holding_bars`, else at its stop or target if the open is past them; each of these replaces the
       order;
    3. the order fills at the open, worse by the contract's slippage, and pays the taker fee;
    4. inside the bar: liquidation on the mark's range, stop-loss, take-profit (at the level, as market
       orders, with slippage and fee; distances in ATRs at entry). Of liquidation and stop the one nearer to
       the price comes first, and both come before the target;
    5. mark to the close, reward, end.

    A liquidation takes the whole isolated margin, its clearance fee included, and no more; equity never falls
    below zero. Where only the range of the mark price is known, its open and close are the last price's, held
    within that range. Always:

    equity = initial + gross pnl - fees - slippage - funding - liquidation costs.

    ## Rewards
    `config.reward`, see `quantum_trader.envs.rewards`: "log_equity" (default; adds up to ln(final / initial
    equity)), "profit" (change of equity), "differential_sharpe", "drawdown_penalised".

    ## Starting state
    Flat, with `initial_balance`, at the close of the first bar from `config.start` on that has a full window
    (after warm-up, spanning no long gap), or with `random_start` at any that leaves `episode_bars` steps.
    `reset(options={"market": m, "bar": t})` names it instead.

    ## Episode end
    Terminated: equity at or below `equity_floor` x `initial_balance`. Truncated: `episode_bars` steps taken
    (with `random_length` between half of them and all), the last bar before `config.stop`, or a gap ahead
    that is too long to trade across. An open position is left open and stays marked to the close.

    ## Info
    equity, balance, position (signed base units), units, entry_price, margin, liquidation_price, bar (index
    in the market); counted since the start: gross_pnl, fees, slippage, funding, liquidation_costs,
    liquidations, trades. `history()` and `trades()` give the whole episode as DataFrames.

    ## Arguments
    market: one `Market`, several, or None for the embedded EURUSD sample. config: an `EnvConfig`.
    render_mode: "ansi", "rgb_array" or "human". reward_function: a reward of your own instead of
    `config.reward`, see `quantum_trader.envs.custom_reward.RewardFunction`.

    ```python
    import gymnasium as gym
    env = gym.make("quantum_trader.envs:FuturesTrading-v0", config=EnvConfig(leverage=5))
    ```

    ## Vectorised use
    `FuturesTradingVectorEnv` runs many accounts in one compiled loop, equal to this environment to the bit:
    `gym.make_vec("quantum_trader.envs:FuturesTrading-v0", 64, vectorization_mode="vector_entry_point")`.

    ## Version history
    v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it as an instance variable)
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 8,
    }

    def __init__(
        self,
        market: Market | Sequence[Market] | None = None,
        config: EnvConfig | None = None,
        render_mode: str | None = None,
        reward_function: RewardFunction | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            known = ", ".join(self.metadata["render_modes"])
            raise ConfigError(f"render_mode must be one of {known} or None, found {render_mode!r}.")
        self.config = config if config is not None else EnvConfig()
        self.render_mode = render_mode
        self.reward_function = reward_function
        self.joined: JoinedMarkets = join_markets(as_markets(market), self.config)
        self.observation_space = observation_space(self.joined, self.config)
        self.action_space = action_space(self.config)
        self._discrete = int(getattr(self.action_space, "n", 0))
        self._orders = {number: float(number) for number in range(self._discrete)}
        self._running = False
        self._offset: Any = None  # row of the market's first bar, once there is an episode
        self._limits = start_limits(self.config)
        self._features = np.zeros((1, ACCOUNT_SIZE), dtype=np.float32)
        longest = self.config.episode_bars or self.joined.longest
        self._journal = Journal(longest)
        self._figure: Any = None
        self._link()

    def _link(self) -> None:
        """Views that are made once, because making them costs more than using them."""
        self._bars, self._rules, self._context = self.joined.bars, self.joined.rules, self.joined.context
        self._run, self._steps = self._journal.run, self._journal.steps
        self._windows = window_view(self.joined.table, self.config.window)
        self._lead, self._bare = self.config.window - 1, not self.config.observe_account
        self._head = self._journal.account[0, :INFO_END]
        self._account: Account = records(self._journal.account, ACCOUNT)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Without views: they would be written out in full, and would not be views any more."""
        return {name: value for name, value in self.__dict__.items() if name not in _VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._link()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; `options` may name where: {"bar": index} and {"market": index}."""
        super().reset(seed=seed)
        start = draw_starts(self.joined, self._limits, [self.np_random])
        if options and not options.keys().isdisjoint({"bar", "market"}):
            record = records(start, START)
            record["row"] = chosen_row(self.joined, options)
            record["market"] = self.joined.market_of(record["row"])
        open_accounts(self._journal.account, _FIRST, start, self.joined.rules)
        self._journal.note()
        self._running = True
        account = self._account
        row, self._offset = int(account.row), int(self.joined.offsets[int(account.market)])
        if self.render_mode == "human":
            self.render()
        gather_accounts(self._journal.account, _FIRST, self._bars, self._rules, self._features)
        info = account_info(self._head.tolist(), row - self._offset)
        info["leverage"], info["cost_multiplier"] = float(account.leverage), float(account.cost)
        return self._observation(row), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade one bar; see the class for the order of events."""
        if not self._running:
            raise ResetNeeded("The episode has not begun or is over: call reset() before step().")
        order = self._order(action)
        if self.reward_function is not None:
            before = self._journal.account.copy()
        step_single(self._run, self._steps, order, self._bars, self._rules, self._features)
        if self.reward_function is not None:
            put_rewards(self.reward_function, before, self._journal.account, _STEPPED)
            self._journal.note()
        numbers = self._head.tolist()
        row = int(numbers[0])
        terminated, truncated = numbers[_TERMINATED] != 0.0, numbers[_TRUNCATED] != 0.0
        self._running = not (terminated or truncated)
        if self.render_mode == "human":
            self.render()
        return (
            self._observation(row),
            numbers[_REWARD],
            terminated,
            truncated,
            account_info(numbers, row - self._offset),
        )

    def history(self) -> pd.DataFrame:
        """The episode so far, one row per bar: see `quantum_trader.envs.records.history_frame`."""
        return history_frame(self._journal.history, self._market.bars.timestamp, self._offset)

    def trades(self) -> pd.DataFrame:
        """Closed trades of the episode so far: see `quantum_trader.envs.records.trades_frame`.

        Once the episode is over, a position still open is listed too, marked at the last close ("end").
        """
        rows = self._journal.trades
        if not self._running:
            mark = records(self.joined.bars, QUOTE)[int(self._account.row)].mark_close
            rows = np.concatenate([rows, open_trade(self._account, mark)])
        return trades_frame(rows, self._market.bars.timestamp, self._offset)

    def fills(self) -> pd.DataFrame:
        """Executions of the episode so far: see `quantum_trader.envs.records.fills_frame`."""
        return fills_frame(self._journal.fills, self._market.bars.timestamp, self._offset)

    def action_masks(self) -> NDArray[np.bool_]:
        """bool [actions]: which discrete actions can change anything, for MaskablePPO of sb3-contrib.

        See `quantum_trader.envs.masks.action_masks`.
        """
        masks: NDArray[np.bool_] = action_masks(self._journal.account, self.config)[0]
        return masks

    def render(self) -> Any:
        """The chart as text ("ansi") or uint8 [height, width, 3] ("rgb_array"); "human" opens a window."""
        from quantum_trader.envs import render

        if self.render_mode is None:
            gymnasium.logger.warn(
                'render() needs a render_mode, e.g. gym.make(..., render_mode="rgb_array").'
            )
            return None
        view = render.view(self._market, self.config, self._journal.history, self._offset)
        if self.render_mode == "ansi":
            return render.as_text(view)
        image = render.as_image(view)
        if self.render_mode == "rgb_array":
            return image
        self._figure = render.show(image, self._figure)
        return None

    def close(self) -> None:
        """Close the window of "human"."""
        if self._figure is not None:
            self._figure.close()
            self._figure = None

    @property
    def _market(self) -> Market:
        if self._offset is None:
            raise ResetNeeded("There is no episode yet: call reset() first.")
        return self.joined.markets[int(self._account.market)]

    def _order(self, action: Any) -> float:
        try:
            return self._orders[action]
        except (KeyError, TypeError):  # an array, a number out of range, a share
            return self._checked(action)

    def _checked(self, action: Any) -> float:
        if self._discrete:
            try:
                number = int(action)
                if 0 <= number < self._discrete and number == action:
                    return float(number)
            except (TypeError, ValueError, OverflowError):
                pass  # no number at all
            raise InvalidAction(
                f"Action must be a whole number from 0 to {self._discrete - 1}, found {action!r}."
            )
        try:
            share = float(np.asarray(action).reshape(()))  # ValueError unless there is exactly one
            if -1.0 <= share <= 1.0:
                return share
        except (TypeError, ValueError):
            pass  # no number at all
        raise InvalidAction(f"Action must be one number between -1 and 1, found {action!r}.")

    def _observation(self, row: int) -> Observation:
        window: Floats32 = self._windows[row - self._lead].copy()
        if self._bare:
            return window
        # The order in which `Dict` spaces sort their keys.
        return {
            "account": self._features[0].copy(),
            "context": self._context[row].copy(),
            "window": window,
        }


def as_markets(market: Market | Sequence[Market] | None) -> tuple[Market, ...]:
    """The markets an environment was given; the embedded sample if none."""
    if market is None:
        return (sample_market(),)
    markets = (market,) if isinstance(market, Market) else market
    if not isinstance(markets, Sequence) or not all(isinstance(each, Market) for each in markets):
        found = type(market).__name__
        raise ConfigError(
            f"Expected a Market or a list of them, found {found}; make one with Market.build(bars, contract)."
        )
    return tuple(markets)
