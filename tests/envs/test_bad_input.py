"""What a user can get wrong when making and stepping environments: one sentence tells what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode

from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import ACTION_MODES, EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import PRESETS, preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.vector_env import FuturesTradingVectorEnv

MakeMarket = Callable[..., Market]
Make = Callable[..., Any]
HOLD = 0
N = 2
BARS = 6
ONE_BAR = EnvConfig(window=1)
STRICT = FuturesContract(
    name="strict",
    taker_fee=0.0,
    slippage=0.0,
    lot_size=0.5,
    min_notional=100.0,
    tiers=(
        MarginTier(floor=0.0, cap=50_000.0, mmr=0.01, max_leverage=50.0),
        MarginTier(floor=50_000.0, cap=200_000.0, mmr=0.05, max_leverage=10.0),
    ),
)


def make_one(market: Any, config: EnvConfig | None = None) -> FuturesTradingEnv:
    return FuturesTradingEnv(market, config)


def make_many(market: Any, config: EnvConfig | None = None) -> FuturesTradingVectorEnv:
    return FuturesTradingVectorEnv(market, N, config)


both = pytest.mark.parametrize("make", [make_one, make_many])


def assert_sentence(error: BaseException, *fragments: str) -> None:
    """The message is one line, reads as a sentence or two clauses of one, and names what it must."""
    message = str(error)
    assert "\n" not in message
    assert "Traceback" not in message
    assert message.endswith(".")
    assert 20 < len(message) < 300
    for fragment in fragments:
        assert fragment in message


@pytest.fixture(scope="module")
def strict(make_market: MakeMarket) -> Market:
    """Six bars at 100 on a contract with every limit."""
    return make_market([100.0] * BARS, symbol="ABC", contract=STRICT)


LIMITS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "leverage above the contract's": (
        {"leverage": 60.0},
        ("ABC", "leverage 60", "above the 50 that strict allows", "lower it"),
    ),
    "highest leverage drawn": (
        {"leverage_range": (1.0, 51.0)},
        ("leverage 51", "above the 50 that strict allows"),
    ),
    "notional above the bracket's cap": (
        {"leverage": 50.0},
        ("leverage 50 up to a notional of 50,000", "would be 500,000", "lower leverage or initial_balance"),
    ),
    "balance below the smallest order": (
        {"initial_balance": 99.0},
        ("one unit is 99.00", "smallest order of 100.00", "raise initial_balance or leverage"),
    ),
    "lowest leverage drawn": (
        {"initial_balance": 500.0, "leverage_range": (0.1, 5.0)},
        ("one unit is 50.00", "smallest order of 100.00"),
    ),
    "a unit of many below the smallest order": (
        {"initial_balance": 500.0, "max_units": 10},
        ("one unit is 50.00", "smallest order of 100.00"),
    ),
    "episode longer than the data": (
        {"episode_bars": BARS},
        ("episode_bars 6", "longer than the 5 steps", "lower it or give more bars"),
    ),
    "episode longer than a part of the data": (
        {"episode_bars": 4, "start": 1, "stop": 5},
        ("episode_bars 4", "longer than the 3 steps"),
    ),
    "market too short for a window": (
        {"window": 7},
        ("7 usable bars", "the market has 6 bars", "give more"),
    ),
    "start at the last bar": ({"start": 5}, ("no bar from 5 on", "widen start and stop")),
    "start beyond the data": ({"start": 500}, ("no bar from 500 on", "the market has 6 bars")),
    "stop before start": ({"start": 3, "stop": 2}, ("3", "widen", "stop")),
    "stop before the first bar": ({"stop": -1}, ("widen", "stop")),
}


@both
@pytest.mark.parametrize(("changes", "fragments"), LIMITS.values(), ids=LIMITS.keys())
def test_what_a_market_does_not_allow(
    strict: Market, make: Make, changes: dict[str, Any], fragments: tuple[str, ...]
) -> None:
    """Refused when the environment is made, by symbol, with the limit, what was asked, and the way out."""
    with pytest.raises(ConfigError) as caught:
        make(strict, replace(ONE_BAR, **changes))
    assert_sentence(caught.value, *fragments)


@both
def test_a_unit_below_one_lot(make_market: MakeMarket, make: Make) -> None:
    """Half a unit at a price of 30,000 is more than the account of 10,000 is worth."""
    market = make_market([30_000.0] * BARS, contract=STRICT)
    with pytest.raises(ConfigError) as caught:
        make(market, ONE_BAR)
    assert_sentence(caught.value, "one unit is 10,000.00", "one lot, 15,000.00", "raise initial_balance")


@both
def test_the_one_market_of_several_that_does_not_fit_is_named(make_market: MakeMarket, make: Make) -> None:
    """With two good markets and one bad, the message begins with the bad one's symbol."""
    good = [make_market([100.0] * BARS, symbol=name) for name in ("GOOD", "FINE")]
    bad = make_market([30_000.0] * BARS, symbol="DEAR", contract=STRICT)
    with pytest.raises(ConfigError) as caught:
        make([good[0], bad, good[1]], ONE_BAR)
    assert_sentence(caught.value)
    assert str(caught.value).startswith("DEAR: ")


@both
def test_gaps_that_leave_no_usable_bar(make_market: MakeMarket, make: Make) -> None:
    """A long gap before every bar, or one more often than a window is long, leaves nothing to trade."""
    everywhere = make_market([100.0] * BARS, breaks=range(1, BARS))
    with pytest.raises(ConfigError) as caught:
        make(everywhere, ONE_BAR)
    assert_sentence(caught.value, "TEST", "1 usable bars")
    bars = synthetic_bars(SyntheticConfig(bars=500))
    hours = np.arange(500) + 10 * (np.arange(500) // 50)
    gappy = replace(bars, timestamp=bars.timestamp[0] + hours * bars.step_ms)
    with pytest.raises(ConfigError) as caught:
        make(Market.build(gappy, preset("binance-alt")))
    assert_sentence(caught.value, "SYNTHETIC", "60 usable bars", "the market has 500 bars")


@both
def test_a_market_that_never_leaves_warm_up(make: Make) -> None:
    """Two hundred real bars are all warm-up: 60 bars after it are wanted."""
    market = Market.build(synthetic_bars(SyntheticConfig(bars=200)), preset("binance-alt"))
    with pytest.raises(ConfigError) as caught:
        make(market)
    assert_sentence(caught.value, "the market has 200 bars", "give more")


@both
def test_no_market_at_all(make: Make) -> None:
    """An empty list is not the sample."""
    with pytest.raises(ConfigError) as caught:
        make([])
    assert_sentence(caught.value, "at least one market", "found none")


@pytest.mark.parametrize("name", ["binance", "BINANCE-BTC", ""])
def test_unknown_presets(name: str) -> None:
    """The message repeats the name and lists every preset there is."""
    with pytest.raises(ConfigError) as caught:
        preset(name)
    assert_sentence(caught.value, repr(name), *PRESETS)


CONTRADICTIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown actions": ({"actions": "Order"}, ("actions must be one of", *ACTION_MODES, "'Order'")),
    "unknown reward": ({"reward": "sharpe"}, ("reward must be one of", "differential_sharpe", "'sharpe'")),
    "no window": ({"window": 0}, ("window must lie between 1 and 60", "0")),
    "long window": ({"window": 61}, ("window must lie between 1 and 60", "61")),
    "no unit": ({"max_units": 0}, ("max_units must lie between 1 and 100", "0")),
    "long delay": ({"delay_bars": 3}, ("delay_bars must lie between 0 and 2", "3")),
    "negative delay": ({"delay_bars": -1}, ("delay_bars must lie between 0 and 2", "-1")),
    "leverage 0": ({"leverage": 0.0}, ("leverage must be a number above 0", "0.0")),
    "leverage NaN": ({"leverage": float("nan")}, ("leverage must be a number above 0", "nan")),
    "infinite balance": (
        {"initial_balance": float("inf")},
        ("initial_balance must be a number above 0", "inf"),
    ),
    "range of NaN": ({"leverage_range": (float("nan"), 2.0)}, ("leverage_range", "lower bound", "nan")),
    "range upside down": ({"cost_range": (2.0, 1.0)}, ("cost_range", "lower bound", "(2.0, 1.0)")),
    "start -1": ({"start": -1}, ("start must not be negative", "-1")),
    "episode -1": ({"episode_bars": -1}, ("episode_bars must not be negative", "-1")),
    "stop-loss NaN": ({"stop_loss_atr": float("nan")}, ("stop_loss_atr must not be negative", "nan")),
    "floor at the start": ({"equity_floor": 1.0}, ("equity_floor", "below 1", "1.0")),
    "random length of what": ({"random_length": True}, ("random_length", "episode_bars above 0")),
    "shares of a unit": ({"actions": "continuous", "max_units": 3}, ("continuous", "leave max_units at 1")),
}


@pytest.mark.parametrize(("fields", "fragments"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_fields_that_contradict_or_lie_outside(fields: dict[str, Any], fragments: tuple[str, ...]) -> None:
    """Each is refused before there is any market, by name, with the range and what was found."""
    with pytest.raises(ConfigError) as caught:
        EnvConfig(**fields)
    assert_sentence(caught.value, *fragments)


@pytest.mark.parametrize("mode", ["video", "rgb", "", "ANSI"])
def test_unknown_render_modes(strict: Market, mode: str) -> None:
    """The message lists the modes there are."""
    with pytest.raises(ConfigError) as caught:
        FuturesTradingEnv(strict, ONE_BAR, render_mode=mode)
    assert_sentence(caught.value, "render_mode must be one of", "ansi, rgb_array, human", repr(mode))


@pytest.mark.parametrize("count", [0, -3])
def test_too_few_accounts(strict: Market, count: int) -> None:
    """A vector environment has at least one account."""
    with pytest.raises(ConfigError) as caught:
        FuturesTradingVectorEnv(strict, count, ONE_BAR)
    assert_sentence(caught.value, "num_envs must be at least 1", str(count))


@pytest.mark.parametrize("kind", ["windows", "Table", "", None])
def test_unknown_observation_kinds(strict: Market, kind: Any) -> None:
    """The message lists the kinds there are."""
    with pytest.raises(ConfigError) as caught:
        FuturesTradingVectorEnv(strict, N, ONE_BAR, observation=kind)
    assert_sentence(caught.value, "observation must be one of window, table, index", repr(kind))


TABLE = np.zeros((BARS, 3), dtype=np.float32)
TABLES: dict[str, tuple[int, Any, tuple[str, ...]]] = {
    "missing": (1, None, ('observation="table"', "one per market")),
    "too short": (1, [TABLE[:-1]], ("one table [bars, D]", "[6]", "(5, 3)")),
    "one too many": (1, [TABLE, TABLE], ("[6] rows", "[(6, 3), (6, 3)]")),
    "one too few": (2, [TABLE], ("for each market", "[6, 6] rows", "[(6, 3)]")),
    "none": (1, [], ("for each market", "found shapes []")),
    "of several widths": (2, [TABLE, TABLE[:, :2]], ("found shapes [(6, 3), (6, 2)]",)),
    "not in a list": (1, TABLE, ("one table [bars, D] for each market",)),
}


@pytest.mark.parametrize(("count", "tables", "fragments"), TABLES.values(), ids=TABLES.keys())
def test_tables_that_do_not_fit(
    make_market: MakeMarket, count: int, tables: Any, fragments: tuple[str, ...]
) -> None:
    """Tables must be one for each market, one row for each bar, and equally wide."""
    markets = [make_market([100.0] * BARS) for _ in range(count)]
    with pytest.raises(ConfigError) as caught:
        FuturesTradingVectorEnv(markets, N, ONE_BAR, observation="table", tables=tables)
    assert_sentence(caught.value, *fragments)


@pytest.mark.parametrize("kind", ["window", "index"])
def test_needless_tables(strict: Market, kind: Any) -> None:
    """Tables given to an observation that does not look at them are a mistake."""
    with pytest.raises(ConfigError) as caught:
        FuturesTradingVectorEnv(strict, N, ONE_BAR, observation=kind, tables=[TABLE])
    assert_sentence(caught.value, 'tables belong to observation="table"', "none elsewhere")


OPTIONS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "last bar": ({"bar": BARS - 1}, ('options["bar"]', "from 0 to 4", "found 5")),
    "bar -1": ({"bar": -1}, ('options["bar"]', "found -1")),
    "far bar": ({"bar": 10**9}, ('options["bar"]', "found 1000000000")),
    "market 1 of 1": ({"market": 1}, ('options["market"]', "below 1", "found 1")),
    "market -1": ({"market": -1}, ('options["market"]', "found -1")),
}


@pytest.mark.parametrize(("options", "fragments"), OPTIONS.values(), ids=OPTIONS.keys())
def test_starts_that_do_not_exist(
    strict: Market, options: dict[str, Any], fragments: tuple[str, ...]
) -> None:
    """`reset(options=...)` refuses a market or a bar that there is not, and the next reset works."""
    env = FuturesTradingEnv(strict, ONE_BAR)
    with pytest.raises(ConfigError) as caught:
        env.reset(options=options)
    assert_sentence(caught.value, *fragments)
    assert env.reset(options={"bar": 4})[1]["bar"] == 4


def test_a_start_inside_a_gap(make_market: MakeMarket) -> None:
    """A bar before a long gap has no successor to trade on."""
    env = FuturesTradingEnv(make_market([100.0] * BARS, breaks=[3]), ONE_BAR)
    with pytest.raises(ConfigError) as caught:
        env.reset(options={"bar": 2})
    assert_sentence(caught.value, 'options["bar"]', "outside gaps", "found 2")


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3], []])
def test_a_wrong_number_of_seeds(strict: Market, seeds: list[int]) -> None:
    """A list of seeds has one for each account."""
    env = FuturesTradingVectorEnv(strict, N, ONE_BAR)
    with pytest.raises(ValueError, match=r"Expected 2 seeds, found \d\.") as caught:
        env.reset(seed=seeds)
    assert_sentence(caught.value)
    env.reset(seed=[1, None])


@pytest.mark.parametrize("mask", [[True], [1, 0], np.ones((N, 1), dtype=np.bool_), "ab"])
def test_wrong_reset_masks(strict: Market, mask: Any) -> None:
    """A mask holds one bool for each account."""
    env = FuturesTradingVectorEnv(strict, N, ONE_BAR)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reset_mask") as caught:
        env.reset(options={"reset_mask": mask})
    assert_sentence(caught.value, "bool array of shape (2,)")


ACTIONS: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "above": ("order", 3, ("whole number from 0 to 2", "found 3")),
    "below": ("order", -1, ("whole number from 0 to 2", "found -1")),
    "between": ("order", 1.5, ("whole number from 0 to 2", "found 1.5")),
    "almost whole": ("target", np.float32(0.999), ("whole number from 0 to 2", "0.999")),
    "text": ("order", "1", ("whole number from 0 to 2", "found '1'")),
    "too long": ("continuous", 1.0001, ("between -1 and 1", "1.0001")),
    "too short": ("continuous", [-2.0], ("between -1 and 1", "[-2.0]")),
    "share NaN": ("continuous", [float("nan")], ("between -1 and 1", "nan")),
    "share inf": ("continuous", np.array([np.inf]), ("between -1 and 1", "inf")),
}


@pytest.mark.parametrize(("actions", "wrong", "fragments"), ACTIONS.values(), ids=ACTIONS.keys())
def test_wrong_actions(strict: Market, actions: Any, wrong: Any, fragments: tuple[str, ...]) -> None:
    """An action outside its space is refused with the range, and leaves the account as it was."""
    env = FuturesTradingEnv(strict, replace(ONE_BAR, actions=actions))
    env.reset(seed=0)
    with pytest.raises(InvalidAction) as caught:
        env.step(wrong)
    assert_sentence(caught.value, *fragments)
    assert len(env.history()) == 1
    assert env.step(0)[4]["bar"] == 1


BATCHES: dict[str, tuple[str, Any, tuple[str, ...]]] = {
    "above": ("order", [0, 3], ("2 actions from 0 to 2", "from 0 to 3")),
    "below": ("target", [0, -1], ("2 actions from 0 to 2", "from -1 to 0")),
    "NaN": ("order", [float("nan"), 1.0], ("2 actions from 0 to 2", "nan")),
    "one too few": ("order", [1], ("2 actions", "found shape (1,)")),
    "one too many": ("order", [1, 1, 1], ("2 actions", "found shape (3,)")),
    "none": ("order", [], ("2 actions", "found shape (0,)")),
    "a single one": ("order", 1, ("2 actions", "found shape ()")),
    "too long": ("continuous", [[0.5], [1.5]], ("2 actions from -1 to 1", "to 1.5")),
    "share NaN": ("continuous", [[0.5], [float("nan")]], ("2 actions from -1 to 1", "nan")),
    "two shares each": ("continuous", np.zeros((N, 2)), ("2 actions", "found shape (2, 2)")),
}


@pytest.mark.parametrize(("actions", "wrong", "fragments"), BATCHES.values(), ids=BATCHES.keys())
def test_wrong_batches_of_actions(
    strict: Market, actions: Any, wrong: Any, fragments: tuple[str, ...]
) -> None:
    """A batch of another shape, or with one action outside, is refused before any account moves."""
    env = FuturesTradingVectorEnv(strict, N, replace(ONE_BAR, actions=actions))
    env.reset(seed=0)
    with pytest.raises(InvalidAction) as caught:
        env.step(wrong)
    assert_sentence(caught.value, *fragments)
    assert env.bar.tolist() == [0, 0]
    env.step(np.zeros(N))
    assert env.bar.tolist() == [1, 1]


@both
def test_steps_before_the_first_reset(strict: Market, make: Make) -> None:
    """Both environments ask for a reset, in a sentence."""
    env = make(strict, ONE_BAR)
    with pytest.raises(ResetNeeded) as caught:
        env.step(HOLD if make is make_one else [HOLD] * N)
    assert_sentence(caught.value, "reset()", "step()")


def test_steps_after_the_end(strict: Market) -> None:
    """The single environment refuses as often as it is asked, until it is reset."""
    env = FuturesTradingEnv(strict, ONE_BAR)
    env.reset()
    while not env.step(HOLD)[3]:
        pass
    for _ in range(2):
        with pytest.raises(ResetNeeded) as caught:
            env.step(HOLD)
        assert_sentence(caught.value, "reset()")
    env.reset()
    env.step(HOLD)


def test_vector_environments_go_on_after_the_end(strict: Market) -> None:
    """SAME_STEP starts anew at once, NEXT_STEP with the next step, whose action and reward count nothing."""
    for mode, expected in ((AutoresetMode.SAME_STEP, [0, 1]), (AutoresetMode.NEXT_STEP, [5, 0])):
        env = FuturesTradingVectorEnv(strict, N, ONE_BAR, autoreset_mode=mode)
        env.reset()
        for _ in range(BARS - 1):
            truncated = env.step([HOLD] * N)[3]
        assert truncated.all()
        assert env.bar.tolist() == [expected[0]] * N
        _, rewards, _, truncated, _ = env.step([1] * N)
        assert env.bar.tolist() == [expected[1]] * N
        assert (rewards == 0.0).all()
        assert not truncated.any()


def test_disabled_autoreset_refuses_to_step_over_an_end(strict: Market) -> None:
    """DISABLED asks for a mask as often as it is stepped, and goes on once it has been given."""
    env = FuturesTradingVectorEnv(strict, N, ONE_BAR, autoreset_mode=AutoresetMode.DISABLED)
    env.reset()
    for _ in range(BARS - 1):
        env.step([HOLD] * N)
    for _ in range(2):
        with pytest.raises(ResetNeeded) as caught:
            env.step([HOLD] * N)
        assert_sentence(caught.value, 'reset(options={"reset_mask": mask})')
    env.reset(options={"reset_mask": np.ones(N, dtype=np.bool_)})
    env.step([HOLD] * N)


def test_masks_of_continuous_actions(strict: Market) -> None:
    """There are none, and the message says which modes have them."""
    env = FuturesTradingEnv(strict, replace(ONE_BAR, actions="continuous"))
    env.reset()
    with pytest.raises(ConfigError) as caught:
        env.action_masks()
    assert_sentence(caught.value, 'actions="order" or "target"')


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_stable_baselines3_wants_same_step(strict: Market, mode: AutoresetMode) -> None:
    """Its vector environments reset within the step; others are refused by name."""
    env = FuturesTradingVectorEnv(strict, N, ONE_BAR, autoreset_mode=mode)
    with pytest.raises(ConfigError) as caught:
        env.to_sb3()
    assert_sentence(caught.value, "SAME_STEP", mode.name)
