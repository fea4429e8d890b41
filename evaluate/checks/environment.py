"""Does the environment pay for nothing but what comes after a decision?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import FILL, records
from quantum_trader.envs.lookahead import perturb_future
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.stretches import FIRST_DECISION, scaled, unbroken
from quantum_trader.evaluate.records import CheckResult

MakeEnv = Callable[[Market, EnvConfig], gymnasium.Env[Any, Any]]
"""Makes the environment to be checked."""
Trade = Callable[[Market, Any, EnvConfig], Record]
"""Trades actions, [T] for the T bars of a market; `run_actions` or something to be checked instead."""

STEPS = 150
"""Steps of an episode."""
_LEVERAGE = 0.5
"""Low enough that an order is never cut to the balance: a profit is then proportional to its size."""
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class FirstBar:
    """What one order, decided by an account without a position, comes to on the next bar."""

    entry_price: float
    """Price of its fill, quote currency."""
    profit: float
    """Change of equity to that bar's close, quote currency."""


OneOrder = Callable[[Market, int, Action], FirstBar]
"""Decides one order at the close of a bar of a market."""


def no_look_ahead(
    market: Market,
    make: MakeEnv = FuturesTradingEnv,
    config: EnvConfig | None = None,
    *,
    cuts: int = 5,
    seed: int = 0,
) -> CheckResult:
    """Whether two markets alike up to a bar give the same observations, rewards and infos up to that bar.

    Actions are random; after the bar every price, volume and funding rate is multiplied by random factors.

    Args:
        market: the last bars of it are used.
        make: makes the environment.
        config: its rules; None takes the defaults. Starts are never random here.
        cuts: bars after which the markets differ.
        seed: of actions, bars and factors.
    """
    question = "Does anything the environment shows or pays change with bars that have not closed yet?"
    piece = unbroken(market, FIRST_DECISION + STEPS + 1)
    if piece is None:
        return _not_asked("no_look_ahead", question, market, FIRST_DECISION + STEPS + 1)
    config = (config if config is not None else EnvConfig()).full_pass()
    rng = np.random.default_rng(seed)
    first = _episode(make(piece, config), STEPS, seed)
    differing: set[str] = set()
    for cut in sorted(rng.choice(np.arange(1, STEPS), size=cuts, replace=False).tolist()):
        bent = perturb_future(piece.bars, FIRST_DECISION + cut, rng)
        other = Market.build(bent, piece.contract, piece.scaler)
        second = _episode(make(other, config), cut, seed)
        for before, after in zip(first, second, strict=False):
            differing |= {name for name in before if not _equal(before[name], after.get(name))}
    found = f"these differ: {', '.join(sorted(differing))}" if differing else "nothing differs by a bit"
    return CheckResult(
        name="no_look_ahead",
        question=question,
        passed=not differing,
        detail=f"{market.symbol}, {cuts} futures bent within {STEPS} random steps: {found}.",
    )


def _episode(env: gymnasium.Env[Any, Any], steps: int, seed: int) -> list[dict[str, Any]]:
    """Everything seen at reset and after each of up to `steps` random steps."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    seen = [_seen(observation, info)]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        seen.append({**_seen(observation, info), "reward": reward, "terminated": terminated})
        if terminated or truncated:
            break
    return seen


def _seen(observation: Any, info: dict[str, Any]) -> dict[str, Any]:
    parts = observation if isinstance(observation, dict) else {"observation": observation}
    # Copies: an environment may write the next observation into the same memory.
    return {name: np.array(value, copy=True) for name, value in {**parts, **info}.items()}


def _equal(first: Any, second: Any) -> bool:
    return second is not None and bool(np.array_equal(first, second, equal_nan=True))


def in_environment(make: MakeEnv = FuturesTradingEnv) -> OneOrder:
    """One order decided in an environment."""

    def order(market: Market, bar: int, action: Action) -> FirstBar:
        env = make(market, EnvConfig(leverage=_LEVERAGE, reward="profit", start=bar))
        env.reset(seed=0)
        _, reward, _, _, info = env.step(int(action))
        return FirstBar(entry_price=float(info["entry_price"]), profit=float(reward))

    return order


def in_backtest(trade: Trade = run_actions) -> OneOrder:
    """One order decided in a backtest."""

    def order(market: Market, bar: int, action: Action) -> FirstBar:
        # Holding at the end, so that the profit is one to the close and without the closing fee.
        config = EnvConfig(leverage=_LEVERAGE, start=bar, stop=bar + 3)
        actions = np.full(len(market), Action.HOLD, dtype=np.int8)
        actions[bar] = action
        record = trade(market, actions, config)
        fills = records(record.executed, FILL)
        price = float(fills["price"][0]) if len(fills) else float("nan")
        return FirstBar(entry_price=price, profit=float(record.equity[1] - record.equity[0]))

    return order


def same_bar_fill(
    market: Market,
    order: OneOrder | None = None,
    *,
    where: str = "environment",
    decisions: int = 5,
    seed: int = 0,
) -> CheckResult:
    """Whether an order fills at the next open and earns from there on, whatever the decision bar itself did.

    For some decision bars and both directions:

    1. other prices before the decision bar's close (all earlier bars; its own open, high and low) leave the
       fill's price and the first bar's profit as they are, to the bit;
    2. another close of the decision bar, by which orders are sized, leaves the fill's price as it is, and
       profit x close too;
    3. an open of the next bar 1 % higher makes the fill 1 % dearer: the check can see a fill at all.

    Args:
        market: the last bars of it are used.
        order: decides one order; None takes the product's environment.
        where: what `order` asks, for the answer.
        decisions: decision bars.
        seed: chooses them.
    """
    question = "Does an order fill at the next open and earn nothing on the bar it was decided on?"
    name = f"same_bar_fill_{where}"
    piece = unbroken(market, FIRST_DECISION + STEPS)
    if piece is None:
        return _not_asked(name, question, market, FIRST_DECISION + STEPS)
    # Ticks and lots round; the question is where money comes from, not how it is rounded.
    piece = replace(piece, contract=replace(piece.contract, tick_size=0.0, lot_size=0.0, min_notional=0.0))
    order = order if order is not None else in_environment()
    rng = np.random.default_rng(seed)
    bars = np.sort(rng.choice(np.arange(FIRST_DECISION, len(piece) - 3), size=decisions, replace=False))
    faults: dict[str, int] = {}
    for bar in bars.tolist():
        for action in (Action.BUY, Action.SELL):
            for fault in _same_bar_faults(piece, order, bar, action):
                faults[fault] = faults.get(fault, 0) + 1
    orders = 2 * decisions
    wrong = "; ".join(f"{fault} ({count} of {orders} orders)" for fault, count in faults.items())
    right = f"{orders} orders filled at the next open and earned from there"
    return CheckResult(
        name=name,
        question=question,
        passed=not faults,
        detail=f"{market.symbol}: {wrong or right}.",
    )


def _same_bar_faults(market: Market, order: OneOrder, bar: int, action: Action) -> list[str]:
    usual = order(market, bar, action)
    past = order(
        scaled(
            scaled(market, ("open", "high", "low", "close"), slice(None, bar), 1.02),
            ("open", "high", "low"),
            slice(bar, bar + 1),
            0.99,
        ),
        bar,
        action,
    )
    close = order(scaled(market, ("close",), slice(bar, bar + 1), 1.01), bar, action)
    dearer = order(scaled(market, ("open",), slice(bar + 1, bar + 2), 1.01), bar, action)
    faults = []
    if past.entry_price != usual.entry_price or close.entry_price != usual.entry_price:
        faults.append("the fill's price depends on prices before the next open")
    if past.profit != usual.profit or not _close(close.profit * 1.01, usual.profit):
        faults.append("the first profit depends on moves before the next open")
    if not abs(dearer.entry_price / usual.entry_price - 1.01) <= _ROUNDING:
        faults.append("the fill's price does not follow the next open")
    return faults


def _close(found: float, expected: float) -> bool:
    """Equal up to rounding in sums of the size of the balance."""
    return abs(found - expected) <= _ROUNDING * EnvConfig().initial_balance


def _not_asked(name: str, question: str, market: Market, bars: int) -> CheckResult:
    detail = f"{market.symbol} has no {bars} bars in a row without an over-long gap."
    return CheckResult(name=name, question=question, passed=None, detail=detail)
