"""The registered id under the checkers of Gymnasium and stable-baselines3, in every mode it has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import ACTION_MODES, REWARDS, EnvConfig
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

ID = "quantum_trader.envs:FuturesTrading-v0"
RENDER_MODES = (None, *FuturesTradingEnv.metadata["render_modes"])
BASE = EnvConfig(leverage=3.0, random_start=True, episode_bars=40)

VARIANTS: dict[str, dict[str, Any]] = {
    "random leverage and costs": {"leverage_range": (1.0, 20.0), "cost_range": (0.0, 3.0)},
    "delay": {"delay_bars": 2, "max_units": 3},
    "exits": {"stop_loss_atr": 1.0, "take_profit_atr": 2.0, "max_holding_bars": 4, "leverage": 20.0},
    "random length": {"random_length": True, "window": 7},
    "two bars": {"window": 1, "episode_bars": 2},
    "to the end": {"episode_bars": 0, "random_start": False, "start": 900, "stop": 1_000},
    **{reward: {"reward": reward} for reward in REWARDS},
}


@contextmanager
def nothing_remarkable() -> Iterator[None]:
    """Turn every warning into an error, except that windows have two axes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        yield


@cache
def markets() -> Sequence[Market]:
    """A currency pair with gaps, and a perpetual with funding, priced far apart."""
    bars = synthetic_bars(SyntheticConfig(bars=1_500, seed=4, start_price=30_000.0))
    return sample_market(), Market.build(bars, preset("binance-btc"))


def checked(**arguments: Any) -> None:
    """Make the environment by its id and run both checkers on it, as far down as wrappers go."""
    from stable_baselines3.common.env_checker import check_env as check_sb3

    # Checking how it renders makes one more environment for each mode; for "human" these are windows.
    human = arguments.get("render_mode") == "human"
    with nothing_remarkable():
        env = gymnasium.make(ID, **arguments)
        check_env(env.unwrapped, skip_render_check=human)
        env.close()
        env = gymnasium.make(ID, **arguments)
        check_sb3(env.unwrapped)
        env.close()


@pytest.fixture
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of "human" are drawn nowhere."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib").use("Agg")


@pytest.mark.usefixtures("_no_display")
@pytest.mark.parametrize("render_mode", RENDER_MODES)
@pytest.mark.parametrize("observe_account", [True, False])
@pytest.mark.parametrize("actions", ACTION_MODES)
def test_every_mode_passes(actions: Any, observe_account: bool, render_mode: Any) -> None:
    """Actions x observations x render modes: neither checker finds anything to remark upon."""
    # Only drawing needs many settings; a window drawn for each of hundreds of checked steps takes seconds.
    episode = 3 if render_mode == "human" else BASE.episode_bars
    config = replace(BASE, actions=actions, observe_account=observe_account, episode_bars=episode)
    checked(config=config, render_mode=render_mode)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_every_option_passes(changes: dict[str, Any]) -> None:
    """Draws, delays, exits, lengths and rewards keep to the spaces and to the seed."""
    checked(config=replace(BASE, **changes))


@pytest.mark.parametrize("actions", ACTION_MODES)
@pytest.mark.parametrize("observe_account", [True, False])
def test_several_markets_pass(actions: Any, observe_account: bool) -> None:
    """Episodes on markets priced far apart, with everything drawn at random, keep to one space."""
    config = replace(
        BASE,
        actions=actions,
        observe_account=observe_account,
        leverage_range=(1.0, 20.0),
        cost_range=(0.5, 2.0),
        delay_bars=1,
    )
    checked(market=markets(), config=config)


def test_the_made_environment_passes_as_it_is_handed_out() -> None:
    """With the wrappers that `gym.make` adds (checks, order enforcing) an episode runs without a warning."""
    with nothing_remarkable():
        env = gymnasium.make(ID, market=markets(), config=BASE)
        env.action_space.seed(0)
        for seed in range(5):
            observation, _ = env.reset(seed=seed)
            done = False
            while not done:
                assert env.observation_space.contains(observation)
                observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                assert np.isfinite(reward)
                done = terminated or truncated
        env.close()


def test_the_id_can_be_made_from_its_own_specification() -> None:
    """`env.spec` makes the same environment again, with the same market and configuration."""
    env = gymnasium.make(ID, market=markets(), config=BASE)
    assert env.spec is not None
    again = gymnasium.make(env.spec)
    assert env.spec.entry_point == "quantum_trader.envs.env:FuturesTradingEnv"
    first, second = env.reset(seed=1)[0], again.reset(seed=1)[0]
    assert all(np.array_equal(first[name], second[name]) for name in first)
