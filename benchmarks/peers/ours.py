"""This project's own environments as contestants, and the memory copies that bound them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers import names
from peers.rounds import CHUNK, Contestant, endless, rate
from quantum_trader.envs import (
    EnvConfig,
    FuturesTradingEnv,
    FuturesTradingVectorEnv,
    Market,
    run_actions,
)
from quantum_trader.envs.batch import step_accounts
from quantum_trader.envs.layout import ACCOUNT, records

CONFIG = EnvConfig(leverage=5.0, max_units=1, random_start=True, random_length=True, episode_bars=500)
BARE = replace(CONFIG, observe_account=False)

Steps = Callable[[], int]


def singles(market: Market) -> list[Contestant]:
    """One environment, and one backtest in a single pass."""
    return [
        _contestant(names.SINGLE_FULL, 1, _single(market, CONFIG)),
        _contestant(names.SINGLE_BARE, 1, _single(market, BARE)),
        _contestant(names.BACKTEST, 1, _backtest(market)),
    ]


def batched(market: Market, accounts: int) -> list[Contestant]:
    """The bare rules, the vector environment with each kind of observation, its adapter, and a plain copy."""
    made = partial(FuturesTradingVectorEnv, market, accounts)
    table = [np.random.default_rng(0).standard_normal((len(market), 256), dtype=np.float32)]
    steps: dict[str, Steps] = {
        names.RULES: _rules(market, accounts),
        names.INDEX: _vector(made(BARE, observation="index")),
        names.INDEX_ACCOUNT: _vector(made(CONFIG, observation="index")),
        names.EMBEDDING: _vector(made(CONFIG, observation="table", tables=table)),
        names.BARE_WINDOWS: _vector(made(BARE)),
        names.FULL_WINDOWS: _vector(made(CONFIG)),
        names.SB3: _sb3(made(CONFIG)),
        names.COPY: _copy(accounts, CONFIG.window * market.table.shape[1]),
    }
    return [_contestant(name, accounts, step) for name, step in steps.items()]


def _contestant(what: str, accounts: int, steps: Steps) -> Contestant:
    return Contestant(what=what, accounts=accounts, run=partial(rate, steps))


def _orders(accounts: int) -> NDArray[np.int64]:
    """int64 [batches, accounts]: so many random orders that a processor cannot learn their sequence."""
    return np.random.default_rng(0).integers(0, 3, (max(CHUNK, 2**18 // accounts), accounts))


def _single(market: Market, config: EnvConfig) -> Steps:
    env = FuturesTradingEnv(market, config)
    orders = endless(_orders(1)[:, 0].tolist())
    env.reset(seed=0)

    def steps() -> int:
        done = 0
        for order in orders():
            done += 1
            _, _, terminated, truncated, _ = env.step(order)
            if terminated or truncated:
                env.reset()
        return done

    return steps


def _backtest(market: Market) -> Steps:
    actions = np.random.default_rng(0).integers(0, 3, len(market))

    def steps() -> int:
        run_actions(market, actions, CONFIG)
        return len(market)

    return steps


def _vector(env: FuturesTradingVectorEnv) -> Steps:
    env.reset(seed=0)
    return _stepping(env.step, env.num_envs)


def _sb3(env: FuturesTradingVectorEnv) -> Steps:
    adapter = env.to_sb3()
    adapter.seed(0)
    adapter.reset()
    return _stepping(adapter.step, env.num_envs)


def _stepping(step: Callable[[NDArray[np.int64]], Any], accounts: int) -> Steps:
    orders = endless(list(_orders(accounts)))

    def steps() -> int:
        done = 0
        for order in orders():
            step(order)
            done += accounts
        return done

    return steps


def _rules(market: Market, accounts: int) -> Steps:
    """The compiled step alone, from the same starts every time; bars that were not traded do not count."""
    env = FuturesTradingVectorEnv(market, accounts, replace(CONFIG, random_length=False, episode_bars=5_000))
    env.reset(seed=0)
    fresh = np.array(env.accounts.tolist())
    state, joined = fresh.copy(), env.joined
    taken = records(state, ACCOUNT)["step"]
    orders = endless(list(_orders(accounts).astype(np.float64)))
    results = np.empty(accounts), np.empty(accounts, np.bool_), np.empty(accounts, np.bool_)

    def steps() -> int:
        state[:] = fresh
        for order in orders():
            step_accounts(state, order, joined.bars, joined.rules, *results, None)
        return int(taken.sum())

    return steps


def _copy(accounts: int, numbers: int) -> Steps:
    """One buffer of windows copied to one and the other of two, as observations alternate between two."""
    draw = np.random.default_rng(0)
    source = draw.standard_normal((accounts, numbers), dtype=np.float32)
    targets: Sequence[NDArray[np.float32]] = (np.empty_like(source), np.empty_like(source))

    def steps() -> int:
        for _ in range(CHUNK // 2):
            for target in targets:
                np.copyto(target, source)
        return CHUNK * accounts

    return steps
