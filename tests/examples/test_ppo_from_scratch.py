"""The PPO example: short, on its own, repeatable, right about where episodes end, and able to learn."""

from __future__ import annotations

import ast
import importlib.util
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from quantum_trader.envs import (
    ConfigError,
    FuturesTradingVectorEnv,
    Market,
    PlantedConfig,
    guess_preset,
    planted_bars,
    run_actions,
    sample_market,
    write_bars,
)

SOURCE = Path(__file__).parents[2] / "examples" / "ppo_from_scratch.py"
CUES = PlantedConfig(bars=3_000, accuracy=0.95, seed=1)


def _load() -> ModuleType:
    """The script as a module: `examples` is no installed package."""
    spec = importlib.util.spec_from_file_location("ppo_from_scratch", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


ppo = _load()


def _short(seed: int = 0, total_steps: int = 3 * 512) -> Any:
    """Three updates; episodes of at most 20 bars, so that every rollout crosses ends."""
    env = replace(ppo.Settings().env, episode_bars=20)
    return ppo.Settings(
        seed=seed, total_steps=total_steps, num_envs=16, rollout_steps=32, minibatch_size=100, env=env
    )


def _weights(result: dict[str, Any]) -> list[torch.Tensor]:
    return [each.detach() for name in ("actor", "critic") for each in result[name].parameters()]


def test_it_is_short_and_stands_alone() -> None:
    """At most 150 lines; beside the standard library only torch, numpy, tyro and the environments."""
    text = SOURCE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    packages = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert packages == {"numpy", "quantum_trader", "torch", "tyro"}
    ours = {name for name in names if name.startswith("quantum_trader")}
    assert all(name.split(".")[1] == "envs" for name in ours)


def test_a_few_updates_change_the_weights_and_stay_finite(capsys: pytest.CaptureFixture[str]) -> None:
    """Every weight moves away from its start; figures are finite, shares add up, progress is printed."""
    torch.manual_seed(0)
    inputs = ppo.encode(FuturesTradingVectorEnv(sample_market(), 1).reset(seed=0)[0]).shape[1]
    start = [*ppo.mlp(inputs, 3, gain=0.01).parameters(), *ppo.mlp(inputs, 1, gain=1.0).parameters()]
    result = ppo.main(_short())
    for before, after in zip(start, _weights(result), strict=True):
        assert torch.isfinite(after).all()
        assert not torch.equal(before, after)
    assert math.isfinite(result["equity"])
    assert result["equity"] > 0.0
    assert result["trades"] >= 0
    assert result["shares"].sum() == pytest.approx(1.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["step", "step", "step", "held"]
    assert "nan" not in "".join(lines[1:])  # by the second update, episodes of 20 bars have ended


def test_one_seed_gives_one_result() -> None:
    """The same seed gives the same weights to the bit, whatever was drawn before; another gives others."""
    first = ppo.main(_short(seed=3))
    torch.rand(5)
    again, other = ppo.main(_short(seed=3)), ppo.main(_short(seed=4))
    assert all(torch.equal(a, b) for a, b in zip(_weights(first), _weights(again), strict=True))
    assert first["equity"] == again["equity"]
    assert not any(
        torch.equal(a, b) for a, b in zip(_weights(first), _weights(other), strict=True) if a.dim() == 2
    )


def _advantage(t: int, n: int, numbers: dict[str, np.ndarray], gamma: float, lam: float) -> float:
    """The definition: discounted temporal-difference errors of the rest of the episode, summed one by one."""
    total, weight = 0.0, 1.0
    for k in range(t, len(numbers["rewards"])):
        worth = 0.0 if numbers["stops"][k, n] else gamma * numbers["after"][k, n]
        total += weight * (numbers["rewards"][k, n] + worth - numbers["values"][k, n])
        if numbers["stops"][k, n] or numbers["cuts"][k, n]:
            break
        weight *= gamma * lam
    return float(total)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 12),
    ends=st.sampled_from([0.0, 0.2, 0.9]),
    gamma=st.floats(0.0, 1.0),
    lam=st.floats(0.0, 1.0),
)
def test_gae_is_its_definition(seed: int, length: int, ends: float, gamma: float, lam: float) -> None:
    """Advantages equal the plain sum over the rest of each episode, with any terminations and truncations."""
    rng, shape = np.random.default_rng(seed), (length, 3)
    numbers: dict[str, np.ndarray] = {
        name: rng.standard_normal(shape) for name in ("rewards", "values", "after")
    }
    numbers |= {name: rng.random(shape) < ends for name in ("stops", "cuts")}
    tensors = {name: torch.from_numpy(values) for name, values in numbers.items()}
    found = ppo.gae(
        tensors["rewards"],
        tensors["values"],
        tensors["after"],
        tensors["stops"],
        tensors["stops"] | tensors["cuts"],
        ppo.Settings(gamma=gamma, gae_lambda=lam),
    )
    expected = [[_advantage(t, n, numbers, gamma, lam) for n in range(3)] for t in range(length)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def _first_update(
    monkeypatch: pytest.MonkeyPatch, accounts: int, steps: int, **rules: Any
) -> dict[str, torch.Tensor]:
    """What one update's advantages are made from: what `gae` is given, and the states the critic judged."""
    seen: dict[str, torch.Tensor] = {}
    judged: list[torch.Tensor] = []
    real_gae, real_mlp = ppo.gae, ppo.mlp

    def spying_gae(rewards: Any, values: Any, after: Any, stops: Any, ends: Any, s: Any) -> Any:
        seen.update(rewards=rewards, values=values, after=after, stops=stops, ends=ends)
        return real_gae(rewards, values, after, stops, ends, s)

    def spying_mlp(width: int, outputs: int, gain: float) -> Any:
        network = real_mlp(width, outputs, gain)
        if outputs == 1:
            network.register_forward_pre_hook(lambda _, given: judged.append(given[0].detach().clone()))
        return network

    monkeypatch.setattr(ppo, "gae", spying_gae)
    monkeypatch.setattr(ppo, "mlp", spying_mlp)
    torch.manual_seed(0)
    config = replace(ppo.Settings().env, **rules)
    ppo.train(
        sample_market(), ppo.Settings(total_steps=1, num_envs=accounts, rollout_steps=steps, env=config)
    )
    return seen | {"states": judged[0], "reached": judged[1]}


def test_a_truncated_step_reaches_the_final_observation(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the critic values after a truncation is the old episode's last state, not the new one's first."""
    seen = _first_update(monkeypatch, accounts=3, steps=12, episode_bars=5, random_length=False)
    assert seen["ends"].all(dim=1).tolist() == [t in (4, 9) for t in range(12)]
    assert not seen["stops"].any()
    states, reached = seen["states"], seen["reached"]
    goes_on = [torch.equal(reached[t], states[t + 1]) for t in range(11)]
    assert goes_on == [t not in (4, 9) for t in range(11)]
    # A step moves the window by one bar of 14 features, also the last step of an episode.
    assert torch.equal(states[:, :, 14 : 8 * 14], reached[:, :, : 7 * 14])


def test_a_terminated_step_is_told_from_a_truncated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts that fall below the equity floor stop; every stop is an end and not every end a stop."""
    rules = {"episode_bars": 60, "random_length": False, "equity_floor": 0.999}
    seen = _first_update(monkeypatch, accounts=16, steps=128, **rules)
    stops, ends = seen["stops"], seen["ends"]
    assert stops.any()
    assert (ends & ~stops).any()
    assert not (stops & ~ends).any()
    # The step that stopped an account lost money, in units of the critic.
    assert (seen["rewards"][stops] < 0.0).all()
    assert seen["rewards"].abs().max() > 0.05


def test_states_outlive_the_buffers_of_the_environment() -> None:
    """An encoded state stays what it was while the environment goes on writing over its arrays."""
    env = FuturesTradingVectorEnv(sample_market(), 4, ppo.Settings().env)
    state = ppo.encode(env.reset(seed=0)[0])
    kept = state.clone()
    for _ in range(3):
        env.step(np.ones(4, dtype=np.int64))
    assert torch.equal(state, kept)


def test_training_and_validation_share_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training sees the first 80 % of the bars only, and a decision on the rest looks at none of them."""
    seen: list[Market] = []
    real_train, real_turn = ppo.train, ppo.decide_in_turn

    def spying_train(market: Market, s: Any) -> Any:
        seen.append(market)
        return real_train(market, s)

    def spying_turn(policy: Any, markets: list[Market], config: Any) -> Any:
        seen.extend(markets)
        return real_turn(policy, markets, config)

    monkeypatch.setattr(ppo, "train", spying_train)
    monkeypatch.setattr(ppo, "decide_in_turn", spying_turn)
    ppo.main(_short(total_steps=1))
    train, rest = (market.bars.timestamp for market in seen)
    assert len(train) == int(0.8 * (len(train) + len(rest)))
    assert train[-1] < rest[0]
    assert not seen[1].usable[:59].any()
    assert seen[0].scaler == seen[1].scaler


def test_it_learns_a_planted_signal(tmp_path: Path) -> None:
    """With cues that foretell a drift and no costs, held-out profit beats every one of 50 random policies."""
    bars = planted_bars(CUES).bars
    file = tmp_path / "PLANTED.parquet"
    write_bars(bars, file)
    env = replace(ppo.Settings().env, cost_multiplier=0.0)
    result = ppo.main(
        ppo.Settings(
            data=str(file),
            total_steps=60_000,
            num_envs=32,
            rollout_steps=64,
            minibatch_size=256,
            learning_rate=2e-3,
            env=env,
        )
    )
    rest = Market.build(bars, guess_preset("PLANTED")).rows(2_400, 3_000)
    rng = np.random.default_rng(0)
    chance = [
        math.log(run_actions(rest, rng.integers(0, 3, 600), env).equity[-1] / 10_000) for _ in range(50)
    ]
    assert math.log(result["equity"]) > max(*chance, float(np.mean(chance) + 3.0 * np.std(chance)))
    assert result["trades"] > 30


def test_the_documented_command_line_is_understood() -> None:
    """The options that the file's first lines name exist, and numbers reach the settings."""
    command = re.search(r"`python examples/ppo_from_scratch.py ([^`]*)`", ppo.__doc__ or "")
    assert command is not None
    assert ppo.tyro.cli(ppo.Settings, args=command[1].split()).total_steps == 200_000
    parsed = ppo.tyro.cli(ppo.Settings, args=["--seed", "5", "--env.leverage", "3"])
    assert (parsed.seed, parsed.env.leverage, parsed.env.episode_bars) == (5, 3.0, 336)


@pytest.mark.parametrize("rules", [{"actions": "continuous"}, {"observe_account": False}])
def test_rules_that_it_cannot_play_are_refused(rules: dict[str, Any]) -> None:
    """Continuous actions and hidden accounts get one sentence that says what to set."""
    env = replace(ppo.Settings().env, **rules)
    with pytest.raises(ConfigError, match=r"env\.actions .*env\.observe_account"):
        ppo.main(ppo.Settings(env=env))
