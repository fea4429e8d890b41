"""PPO frames per second, TFT encoder inside and on its table: `python benchmarks/ppo.py [--json FILE]`.

A frame is one step of one account, paid for with its share of the update: all that `model.learn` of
stable-baselines3 (SB3) does. All get the same market of 10,000 synthetic hourly bars, the same untrained TFT,
which takes as long as a trained one, episodes of 336 bars from random starts, 4 epochs, and an actor and a
critic of 64 x 64; one thread. With the encoder inside, every gradient step encodes its windows again.

SB3's environments are bare, without the `Monitor` that it puts around them by default and whose figures ours
report too. Speeds are by processor time, so that waiting for a busy core does not count; each figure is the
best of several rounds, and the rounds alternate, so that all see the same load.

The same run measures where the time of a training on the table goes, and how long the table takes to make.
"""

from __future__ import annotations

import os

# Before anything that starts threads is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["NUMEXPR_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium import spaces
from peers.clock import speed
from peers.machine import bf16_instructions, machine
from peers.rounds import Contestant, Figure, measure
from peers.table import amount, noise, times
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from tft_peers.data import Data
from tft_peers.ours import agent

from quantum_trader.agents.network import parameter_count
from quantum_trader.agents.network_config import Preset
from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import TFTAgent, tft_preset
from quantum_trader.agents.tft.precision import Precision
from quantum_trader.envs import FuturesTradingEnv, FuturesTradingVectorEnv
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.rl.algorithms import build_algorithm
from quantum_trader.train.rl.config import FineTuneConfig, RLConfig
from quantum_trader.train.rl.environment import TrainingVecEnv, training_env
from quantum_trader.train.rl.extractor import TFTFeaturesExtractor
from quantum_trader.train.rl.fine_tune import full_network
from quantum_trader.train.rl.scale import fit_scale, set_scale
from quantum_trader.train.rl.table import EncodedMarket, encode_market

PACKAGES = ("quantum-trader", "torch", "stable_baselines3", "gymnasium", "numpy", "numba")
INSIDE = "SB3, encoder inside, trained, fp32"
FROZEN = "SB3, encoder inside, frozen, fp32"
TUNED = "ours, fine-tuning, bf16, shared starts"
TABLE = "SB3's DummyVecEnv on the table"
OURS = "ours on the table"
BASES = {INSIDE: 1_000.0, TABLE: 3.0}
"""What ours on the table is divided by, and the least that should give."""

EPOCHS = 4
STOCK_ACCOUNTS, STOCK_BATCH = 8, 64
WINDOWS = 300_000
"""Windows for which time and size of the table are extrapolated."""
AMX_GAIN = 3.0
"""What bf16 should gain where the processor has AMX."""
UPDATE, FORWARD, ENVIRONMENT, BUFFER, REST = (
    "update",
    "policy forward",
    "environment",
    "buffer and advantages",
    "rest",
)
BUSY = 0.8
"""Share of the time that update and policy forward should have."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    json: Path | None = None
    """Where to write the figures as JSON besides printing them."""
    preset: Preset = "paper"
    """Size of the encoder."""
    features: PolicyFeatures = "outputs"
    """What policies see of the market; "outputs" makes a smaller table."""
    accounts: tuple[int, ...] = (64, 256, 1024)
    """Accounts of ours on the table."""
    rollout: int = 128
    """Steps of each account between updates, on the table."""
    inside_rollout: int = 16
    """The same with the encoder inside; raising it makes those rounds longer."""
    part_accounts: int = 256
    """Accounts of the training whose time is broken down."""
    windows: int = 1024
    """Windows of a round of encoding."""
    seconds: float = 1.0
    """Length of a round, which ends with the update that reaches it; raising it makes figures steadier."""
    rounds: int = 4
    """Rounds per figure, the best of which counts."""
    quick: bool = False
    """The tiny preset and one short round, to see that everything runs; the figures mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """How fast the table is made."""

    figures: tuple[Figure, ...]
    """Windows per second in fp32 and bf16."""
    bytes_per_window: int
    difference: float
    """Largest difference between the probabilities of a decision in bf16 and fp32."""


def main(options: Options) -> None:
    """Measure, print, and write."""
    if options.quick:
        options = replace(
            options, preset="tiny", accounts=(4, 8), rollout=8, inside_rollout=4, part_accounts=8
        )
        options = replace(options, windows=64, seconds=0.0, rounds=1)
    torch.set_num_threads(1)
    data, precisions = Data.synthetic(), ("fp32", "bf16")
    agents = {name: _agent(data, options, name) for name in precisions}
    item = encode_market(_agent(data, options, "auto"), data.market, options.features)
    figures = contest(item, agents, options)
    shares = breakdown(item, options)
    embedding = encoding(item, agents, options)
    print(text(figures, shares, embedding, agents["fp32"], options))
    if options.json is not None:
        document = {
            "machine": {**machine(), "bf16_instructions": bf16_instructions()},
            "versions": {name: version(name) for name in PACKAGES},
            "options": {name: value for name, value in asdict(options).items() if name != "json"},
            "figures": [asdict(figure) for figure in figures],
            "ratios": ratios(figures),
            "shares": shares,
            "embedding": asdict(embedding),
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def contest(item: EncodedMarket, agents: dict[str, TFTAgent], options: Options) -> list[Figure]:
    """Frames per second of everything."""
    models = {
        (INSIDE, STOCK_ACCOUNTS): stock(item, agents["fp32"], options, freeze=False),
        (FROZEN, STOCK_ACCOUNTS): stock(item, agents["fp32"], options, freeze=True),
        (TUNED, _fine_tune(options).num_envs): fine_tuning(item, agents["bf16"], options),
        (TABLE, STOCK_ACCOUNTS): dummy(item, options),
    }
    models |= {(OURS, accounts): ours(item, accounts, options) for accounts in options.accounts}
    contestants = [
        Contestant(what=what, accounts=accounts, run=partial(speed, learning(model)))
        for (what, accounts), model in models.items()
    ]
    return measure(contestants, rounds=options.rounds, seconds=options.seconds, warm_up=1)


def learning(model: PPO) -> Callable[[], int]:
    """A function that learns from one rollout and returns how many frames that were."""
    frames = model.n_steps * model.n_envs

    def steps() -> int:
        model.learn(frames, reset_num_timesteps=False)
        return frames

    return steps


def stock(item: EncodedMarket, tft: TFTAgent, options: Options, *, freeze: bool) -> PPO:
    """What one writes with SB3 alone: single environments, its batch size, the encoder as an extractor."""
    make = partial(FuturesTradingEnv, item.market, RLConfig().env)
    extractor = {"tft": tft, "features": options.features, "freeze": freeze, "precision": "fp32"}
    return PPO(
        "MultiInputPolicy",
        DummyVecEnv([make] * STOCK_ACCOUNTS),
        n_steps=options.inside_rollout,
        batch_size=min(STOCK_BATCH, STOCK_ACCOUNTS * options.inside_rollout),
        n_epochs=EPOCHS,
        seed=0,
        device="cpu",
        policy_kwargs={
            "features_extractor_class": TFTFeaturesExtractor,
            "features_extractor_kwargs": extractor,
            "net_arch": {"pi": [64, 64], "vf": [64, 64]},
        },
    )


def fine_tuning(item: EncodedMarket, tft: TFTAgent, options: Options) -> PPO:
    """The second phase of this project's training: accounts in groups that see the same bars."""
    config = _config(item, 2, options)
    settings = config.fine_tune
    accounts = FuturesTradingVectorEnv(item.market, settings.num_envs, config.env)
    env = TrainingVecEnv(accounts, config, shared_start=settings.shared_start)
    return full_network(_on_table(item, training_env([item], config), config), env, tft, config)


def dummy(item: EncodedMarket, options: Options) -> PPO:
    """The frozen encoder's table, with SB3's loop over single environments."""
    config = _config(item, STOCK_ACCOUNTS, options)
    config = replace(config, batch_size=STOCK_ACCOUNTS * options.rollout)
    env = DummyVecEnv([partial(TableEnv, item, config)] * STOCK_ACCOUNTS)
    return _on_table(item, env, config)


def ours(item: EncodedMarket, accounts: int, options: Options) -> PPO:
    """The first phase of this project's training."""
    config = _config(item, accounts, options)
    return _on_table(item, training_env([item], config), config)


class TableEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """One account that sees the table's row instead of window and context."""

    def __init__(self, item: EncodedMarket, config: RLConfig) -> None:
        super().__init__(FuturesTradingEnv(item.market, config.env))
        self._table = item.table
        row = spaces.Box(-np.inf, np.inf, item.table.shape[1:], np.float32)
        self.observation_space = spaces.Dict(
            {"account": self.env.observation_space["account"], "embedding": row}
        )

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        return self._seen(observation, info), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._seen(observation, info), float(reward), terminated, truncated, info

    def _seen(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        return {"account": observation["account"], "embedding": self._table[info["bar"]]}


def breakdown(item: EncodedMarket, options: Options) -> dict[str, float]:
    """Shares of the time of a training on the table."""
    model = ours(item, options.part_accounts, options)
    step = learning(model)
    step()
    clocks: dict[str, float] = {}
    for part, owner, method in (
        (UPDATE, model, "train"),
        (FORWARD, model.policy, "forward"),
        # Of the rollout's last observation, and of those that end episodes.
        (FORWARD, model.policy, "predict_values"),
        (ENVIRONMENT, model.env, "step"),
        (BUFFER, model.rollout_buffer, "add"),
        (BUFFER, model.rollout_buffer, "compute_returns_and_advantage"),
    ):
        setattr(owner, method, _timed(getattr(owner, method), clocks, part))
    begun = time.perf_counter()
    while True:
        step()
        elapsed = time.perf_counter() - begun
        if elapsed >= options.rounds * options.seconds:
            break
    shares = {part: spent / elapsed for part, spent in clocks.items()}
    return {**shares, REST: 1.0 - sum(shares.values())}


def _timed(call: Callable[..., Any], clocks: dict[str, float], part: str) -> Callable[..., Any]:
    clocks.setdefault(part, 0.0)

    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            clocks[part] += time.perf_counter() - begun

    return timed


def encoding(item: EncodedMarket, agents: dict[str, TFTAgent], options: Options) -> Embedding:
    """Windows per second of making the table, and what bf16 does to decisions."""
    market = item.market
    ends = np.flatnonzero(market.usable)[-options.windows :]

    def steps(tft: TFTAgent) -> int:
        encode_market(tft, market, options.features, start=int(ends[0]))
        return len(ends)

    contestants = [
        Contestant(what=name, accounts=1, run=partial(speed, partial(steps, tft)))
        for name, tft in agents.items()
    ]
    inputs = ModelInputs(windows=gather(market.table, ends, WINDOW), context=market.context[ends])
    fp32, bf16 = (agents[name].signals(inputs).probabilities for name in ("fp32", "bf16"))
    return Embedding(
        figures=tuple(measure(contestants, options.rounds, options.seconds, warm_up=1)),
        bytes_per_window=item.table[0].nbytes,
        difference=float(np.abs(bf16 - fp32).max()),
    )


def ratios(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Ours on the table over each of `BASES`, for every number of accounts."""
    rates = {each.what: each.steps_per_second for each in figures}
    return [
        {
            "accounts": each.accounts,
            "to": to,
            "ratio": each.steps_per_second / rates[to],
            "at_least": at_least,
        }
        for each in figures
        if each.what == OURS
        for to, at_least in BASES.items()
    ]


def text(
    figures: Sequence[Figure],
    shares: dict[str, float],
    embedding: Embedding,
    tft: TFTAgent,
    options: Options,
) -> str:
    """Everything, to be read."""
    size = parameter_count(tft.model)
    head = f'PPO with a TFT of {amount(size)} parameters ("{options.preset}"), market seen as'
    lines = [f'{head} "{options.features}", actor and critic 64 x 64, {EPOCHS} epochs, one thread', ""]
    lines += [*_table(figures), ""]
    lines.append(
        f"The median round stayed {noise(figures):.0%} behind the best: other load, for the most part."
    )
    lines += ["", "Targets", *_targets(ratios(figures)), ""]
    return "\n".join([*lines, *_shares(shares, options), "", *_encoding(embedding)])


def _table(figures: Sequence[Figure]) -> Iterator[str]:
    rates = {each.what: each.steps_per_second for each in figures}
    yield f"{'figure':40s} {'N':>5s} {'frames/s':>9s} {'rounds':>17s} {'x inside':>9s} {'x SB3 table':>12s}"
    for each in figures:
        spread = f"{amount(min(each.rounds))} .. {amount(max(each.rounds))}"
        found = [times(each.steps_per_second / rates[to]) for to in BASES]
        if each.what not in (TABLE, OURS):
            found[1] = ""
        rate = amount(each.steps_per_second)
        line = f"{each.what:40s} {each.accounts:5d} {rate:>9s} {spread:>17s} {found[0]:>9s} {found[1]:>12s}"
        yield line.rstrip()


def _targets(found: list[dict[str, Any]]) -> Iterator[str]:
    for to, at_least in BASES.items():
        least = min((each for each in found if each["to"] == to), key=lambda each: each["ratio"])
        passed = "reached" if least["ratio"] >= at_least else "missed"
        reached = f"{times(least['ratio'])} at N={least['accounts']}, the least"
        yield f"  {passed}: {OURS} >= {times(at_least)} {to}: {reached}"


def _shares(shares: dict[str, float], options: Options) -> Iterator[str]:
    yield f"Where the time goes with {options.part_accounts} accounts on the table"
    for part in (UPDATE, FORWARD, ENVIRONMENT, BUFFER, REST):
        yield f"  {part:22s} {shares[part]:6.1%}"
    busy = shares[UPDATE] + shares[FORWARD]
    passed = "reached" if busy >= BUSY else "missed"
    yield f"  {passed}: {UPDATE} and {FORWARD} >= {BUSY:.0%} of the time: {busy:.1%}"


def _encoding(embedding: Embedding) -> Iterator[str]:
    known = {True: "yes", False: "no", None: "not known"}
    chip = ", ".join(f"{name}: {known[has]}" for name, has in bf16_instructions().items())
    yield f"Making the table ({chip})"
    for each in embedding.figures:
        rate, minutes = each.steps_per_second, WINDOWS / each.steps_per_second / 60
        spread = f"{amount(min(each.rounds))} .. {amount(max(each.rounds))}"
        yield f"  {each.what}  {rate:8.0f} windows/s ({spread}), {minutes:5.1f} min for {WINDOWS:,} windows"
    fp32, bf16 = (each.steps_per_second for each in embedding.figures)
    megabytes = WINDOWS * embedding.bytes_per_window / 1e6
    yield f"  bf16 / fp32: {times(bf16 / fp32)}, with AMX wanted {times(AMX_GAIN)}"
    yield f"  {WINDOWS:,} windows take {megabytes:.0f} MB"
    yield f"  largest difference of a decision's probabilities, bf16 - fp32: {embedding.difference:.4f}"


def _agent(data: Data, options: Options, precision: Precision) -> TFTAgent:
    """The same weights whatever the precision."""
    torch.manual_seed(0)
    return agent(data, tft_preset(options.preset), precision, threads=1)


def _fine_tune(options: Options) -> FineTuneConfig:
    """A batch is a quarter of a rollout, as by default."""
    accounts = 8 if options.quick else FineTuneConfig().num_envs
    return FineTuneConfig(
        num_envs=accounts,
        shared_start=accounts // 4,
        rollout_steps=options.inside_rollout,
        batch_size=accounts * options.inside_rollout // 4,
        epochs=EPOCHS,
    )


def _config(item: EncodedMarket, accounts: int, options: Options) -> RLConfig:
    return RLConfig(
        num_envs=accounts,
        features=options.features,
        rollout_steps=options.rollout,
        # 16,384 at 1,024 accounts.
        batch_size=max(4096, 16 * accounts),
        epochs=EPOCHS,
        layers=(64, 64),
        critic_layers=(64, 64),
        fine_tune=_fine_tune(options),
    )


def _on_table(item: EncodedMarket, env: Any, config: RLConfig) -> PPO:
    model = build_algorithm("ppo", env, config, item.market.bars.step_ms)
    assert isinstance(model, PPO)
    set_scale(model.policy, *fit_scale([item]))
    return model


if __name__ == "__main__":
    main(tyro.cli(Options))
