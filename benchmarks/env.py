"""Environment steps per second, one thread: `python benchmarks/env.py [--json FILE]`.

Random orders on 10,000 synthetic bars, leverage 5, episodes of 250 to 500 bars with random starts. Each
figure is the best of several rounds, since other load on the machine can only slow a round down.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tyro

from quantum_trader.envs import (
    EnvConfig,
    FuturesTradingEnv,
    FuturesTradingVectorEnv,
    Market,
    SyntheticConfig,
    preset,
    run_actions,
    synthetic_bars,
)
from quantum_trader.envs.batch import step_accounts
from quantum_trader.envs.layout import TRADE_LOG, matrix

CONFIG = EnvConfig(leverage=5.0, max_units=2, random_start=True, random_length=True, episode_bars=500)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    json: Path | None = None
    """Where to write the figures as JSON besides printing them."""
    sizes: tuple[int, ...] = (64, 256, 1024, 4096)
    """Numbers of accounts in the vector environment."""
    seconds: float = 0.5
    """Length of a round."""
    rounds: int = 5
    """Rounds per figure, the best of which counts."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement."""

    what: str
    accounts: int
    steps_per_second: float


def main(options: Options) -> None:
    """Measure, print, and write."""
    market = Market.build(synthetic_bars(SyntheticConfig(bars=10_000)), preset("binance-btc"))
    figures = [*singles(market, options), *(f for n in options.sizes for f in batched(market, n, options))]
    for figure in figures:
        rate = figure.steps_per_second / 1e6
        print(f"{figure.what:42s} N={figure.accounts:<5d} {rate:8.3f} million steps/s")
    if options.json is not None:
        machine = {"machine": platform.machine(), "python": platform.python_version()}
        document = {**machine, "figures": [asdict(figure) for figure in figures]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def singles(market: Market, options: Options) -> list[Figure]:
    """One environment, and one backtest in a single pass."""
    figures = []
    for name, observe in (("single, full observation", True), ("single, bare window", False)):
        env = FuturesTradingEnv(market, replace(CONFIG, observe_account=observe))
        orders = np.random.default_rng(0).integers(0, 3, 512).tolist()
        env.reset(seed=0)

        def steps(env: FuturesTradingEnv = env, orders: list[int] = orders) -> int:
            for order in orders:
                if any(env.step(order)[2:4]):
                    env.reset()
            return len(orders)

        figures.append(Figure(what=name, accounts=1, steps_per_second=best_rate(steps, options)))
    actions = np.random.default_rng(0).integers(0, 3, len(market))

    def backtest() -> int:
        run_actions(market, actions, CONFIG)
        return len(market)

    rate = best_rate(backtest, options)
    return [*figures, Figure(what="run_actions, whole backtest", accounts=1, steps_per_second=rate)]


def batched(market: Market, accounts: int, options: Options) -> list[Figure]:
    """The vector environment with each kind of observation, and the bare rules."""
    bare = replace(CONFIG, observe_account=False)
    table = [np.zeros((len(market), 256), dtype=np.float32)]
    kinds = {
        "vector, bar index only": FuturesTradingVectorEnv(market, accounts, bare, observation="index"),
        "vector, bar index and account": FuturesTradingVectorEnv(
            market, accounts, CONFIG, observation="index"
        ),
        "vector, embedding of 256 and account": FuturesTradingVectorEnv(
            market, accounts, CONFIG, observation="table", tables=table
        ),
        "vector, bare window": FuturesTradingVectorEnv(market, accounts, bare),
        "vector, window, account and context": FuturesTradingVectorEnv(market, accounts, CONFIG),
    }
    figures = [rules(market, accounts, options)]
    for name, env in kinds.items():
        rate = best_rate(stepper(env, accounts), options)
        figures.append(Figure(what=name, accounts=accounts, steps_per_second=rate))
    to_sb3 = kinds["vector, window, account and context"].to_sb3()
    to_sb3.seed(0)
    to_sb3.reset()
    orders = drawn_orders(accounts)

    def sb3_steps() -> int:
        for order in orders:
            to_sb3.step(order)
        return len(orders) * accounts

    rate = best_rate(sb3_steps, options)
    return [
        *figures,
        Figure(what="SB3 VecEnv, window, account and context", accounts=accounts, steps_per_second=rate),
    ]


def rules(market: Market, accounts: int, options: Options) -> Figure:
    """The compiled account step alone, on accounts that never finish within a round."""
    env = FuturesTradingVectorEnv(market, accounts, replace(CONFIG, random_length=False, episode_bars=5_000))
    orders = [order.astype(np.float64) for order in drawn_orders(accounts)]
    log, joined = matrix(1, TRADE_LOG), env.joined
    env.reset(seed=0)
    state = np.array(env.accounts.tolist())
    fresh = state.copy()

    def steps() -> int:
        state[:] = fresh
        for _ in range(8):
            for order in orders:
                step_accounts(state, order, joined.bars, joined.rules, log)
        return 8 * len(orders) * accounts

    return Figure(what="account rules alone", accounts=accounts, steps_per_second=best_rate(steps, options))


def stepper(env: FuturesTradingVectorEnv, accounts: int) -> Callable[[], int]:
    """A function that takes some steps in every account and returns how many that were."""
    orders = drawn_orders(accounts)
    env.reset(seed=0)

    def steps() -> int:
        for order in orders:
            env.step(order)
        return len(orders) * accounts

    return steps


def drawn_orders(accounts: int) -> list[np.ndarray]:
    """16 batches of random orders."""
    random = np.random.default_rng(0)
    return [random.integers(0, 3, accounts) for _ in range(16)]


def best_rate(steps: Callable[[], int], options: Options) -> float:
    """Steps per second in the best round, after one call to compile and warm up."""
    steps()
    best = 0.0
    for _ in range(options.rounds):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < options.seconds:
            done += steps()
        best = max(best, done / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main(tyro.cli(Options))
