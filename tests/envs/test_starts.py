"""Starts drawn at random: bars, lengths, leverages and costs, each within its range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import join_markets
from quantum_trader.envs.layout import START, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.starts import draw_starts, start_limits
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
RANDOM = EnvConfig(
    window=1,
    random_start=True,
    random_length=True,
    episode_bars=11,
    leverage_range=(2.0, 20.0),
    cost_range=(0.5, 2.0),
    cost_multiplier=2.0,
)
CONTRACT = FuturesContract(name="t", taker_fee=0.001, slippage=0.0)


def test_draws_fill_their_ranges(make_market: MakeMarket) -> None:
    """Bars, lengths, leverages (log-uniform) and cost factors reach both ends and no further."""
    joined = join_markets([make_market([100.0] * 40), make_market([100.0] * 30)], RANDOM)
    generators = [np.random.default_rng(seed) for seed in range(4_000)]
    start = records(draw_starts(joined, start_limits(RANDOM), generators), START)
    assert set(start["row"].astype(int)) == set(joined.starts.tolist())
    assert (joined.market_of(start["row"].astype(np.int64)) == start["market"]).all()
    assert set(start["length"]) == {6.0, 7.0, 8.0, 9.0, 10.0, 11.0}
    for name, low, high in (("leverage", 2.0, 20.0), ("cost", 1.0, 4.0)):
        assert low <= start[name].min() < low * 1.01
        assert high * 0.99 < start[name].max() <= high
    assert np.median(start["leverage"]) == pytest.approx(np.sqrt(40.0), rel=0.05)


def test_the_same_seed_finds_the_same_bars_whatever_else_is_drawn(make_market: MakeMarket) -> None:
    """Random costs and leverages leave the drawn bars and lengths as they are."""
    market = make_market([100.0] * 60)
    plain = replace(RANDOM, leverage_range=None, cost_range=None)
    one, other = (
        records(draw_starts(joined, start_limits(config), [np.random.default_rng(5)]), START)[0]
        for config, joined in ((each, join_markets([market], each)) for each in (RANDOM, plain))
    )
    assert (one.row, one.length) == (other.row, other.length)
    assert (other.leverage, other.cost) == (1.0, 2.0)
    assert one.leverage != 1.0


def test_drawn_leverage_and_cost_are_what_an_account_trades_at(make_market: MakeMarket) -> None:
    """Notional at entry is leverage x equity less fees; the fee is the contract's times the factor."""
    env = FuturesTradingEnv(make_market([100.0] * 60, contract=CONTRACT), RANDOM)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        _, _, _, _, after = env.step(1)
        notional = after["position"] * 100.0
        assert notional == pytest.approx(info["leverage"] * (1e4 - after["fees"]), rel=1e-9)
        assert after["fees"] == pytest.approx(notional * 0.001 * info["cost_multiplier"], rel=1e-12)


def test_accounts_of_a_batch_differ(make_market: MakeMarket) -> None:
    """Every account of a vector environment has its own leverage, as the single one with its seed has."""
    market = make_market([100.0] * 60, contract=CONTRACT)
    env = FuturesTradingVectorEnv(market, 6, RANDOM)
    env.reset(seed=10)
    single = FuturesTradingEnv(market, RANDOM)
    drawn = [single.reset(seed=10 + i)[1]["leverage"] for i in range(6)]
    assert env.accounts["leverage"].tolist() == drawn
    assert len(set(drawn)) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leverage_range": (0.0, 5.0)}, "leverage_range must be a lower bound above 0"),
        ({"leverage_range": (5.0, 2.0)}, "leverage_range"),
        ({"cost_range": (-1.0, 2.0)}, "cost_range must be a lower bound of 0 or more"),
        ({"cost_range": (1.0, float("inf"))}, "cost_range"),
    ],
)
def test_impossible_ranges_are_refused(changes: dict[str, tuple[float, float]], message: str) -> None:
    """A range runs upward between numbers that a venue could have."""
    with pytest.raises(ConfigError, match=message):
        EnvConfig(**changes)  # type: ignore[arg-type]


def test_the_highest_leverage_drawn_must_be_allowed(make_market: MakeMarket) -> None:
    """The range is checked against the contract before the first episode."""
    with pytest.raises(ConfigError, match="leverage 60 is above the 50"):
        FuturesTradingEnv(make_market([100.0] * 60), replace(RANDOM, leverage_range=(1.0, 60.0)))
