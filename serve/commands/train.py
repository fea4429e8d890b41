"""`quantum-trader train`: fit one agent into a run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import NoReturn

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.run_config import AgentName, RunConfig
from quantum_trader.train.launch import Launch, require_one_process
from quantum_trader.train.rl.config import Algorithm

Say = Callable[[str], None]


def _fit_seeds(config: RunConfig, agent: AgentName, seeds: int, *, shared: bool) -> None:
    """Fit a network once per seed, each into a run of its own, and say how far the seeds agree."""
    if seeds < 1:
        raise ConfigError(f"seeds: expected at least 1, found {seeds}.")
    run = _plain_run(config)
    if seeds == 1:
        _fit(run, (agent,), shared=shared)
        return
    from quantum_trader.agents.folder import load_model_folder
    from quantum_trader.evaluate.seeds import seed_table
    from quantum_trader.serve.commands.output import say

    runs = [
        replace(run, seed=seed, name=f"{run.name}-seed{seed}") for seed in range(run.seed, run.seed + seeds)
    ]
    for each in runs:
        _fit(each, (agent,), shared=shared)
    if Launch.here().first:
        folders = [load_model_folder(each.folder / "models" / agent, kind=agent) for each in runs]
        say(seed_table([folder.provenance.metrics for folder in folders]))


def _fit(config: RunConfig, agents: tuple[AgentName, ...], *, shared: bool = False) -> None:
    """Fit `agents`; in several processes together if `shared` and torchrun started them."""
    from quantum_trader.evaluate.experiment import train_agents

    with _spokesman() as say:
        if not shared:
            require_one_process(f"train {agents[-1]}")
        train_agents(replace(config, agents=agents), say)
        say(f"model: {config.folder / 'models' / agents[-1]}")


def _fit_policies(config: RunConfig, algorithms: tuple[Algorithm, ...], seeds: int) -> None:
    """Fit policies and say how they and their seeds compare."""
    from quantum_trader.evaluate.policies import policy_table, train_policies
    from quantum_trader.serve.commands.output import say

    require_one_process(f"train {algorithms[0] if algorithms else 'rl'}")
    policies = train_policies(_plain_run(config), algorithms, seeds, say)
    say(policy_table(policies))
    say(f"models: {config.folder / 'models'}")


def _plain_run(config: RunConfig) -> RunConfig:
    """The options of a run alone, without those of the command."""
    return RunConfig(**{field.name: getattr(config, field.name) for field in fields(RunConfig)})


@contextmanager
def _spokesman() -> Iterator[Say]:
    """What a command says its lines with: of several processes the first speaks, or the first to fail."""
    from quantum_trader.serve.commands.output import say

    launch = Launch.here()
    if launch.size == 1:
        yield say
        return

    from quantum_trader.serve.cli import BAD_INPUT, INTERRUPTED
    from quantum_trader.train.distributed import OtherProcessError, processes

    try:
        with processes():
            yield say if launch.first else lambda line: None
    except OtherProcessError:
        _leave_last(BAD_INPUT)
    except KeyboardInterrupt:
        if launch.first:
            raise
        _leave_last(INTERRUPTED)


def _leave_last(code: int) -> NoReturn:
    """torchrun ends all processes as soon as one has gone: that is to be the one with the message."""
    time.sleep(1.0)
    raise SystemExit(code)


@dataclass(frozen=True, kw_only=True)
class TrainTFT(RunConfig):
    """Fit the Temporal Fusion Transformer and write OUT/NAME/models/tft; goes on where it was cut off."""

    seeds: int = 1
    """Fit so many seeds, each into OUT/NAME-seedK, and say median and range of their validation figures."""

    def run(self) -> None:
        """Fit it."""
        _fit_seeds(self, "tft", self.seeds, shared=self.tft.distributed == "auto")


@dataclass(frozen=True, kw_only=True)
class TrainBiLSTM(RunConfig):
    """Fit the BiLSTM with attention and write OUT/NAME/models/bilstm; goes on where it was cut off."""

    seeds: int = 1
    """Fit so many seeds, each into OUT/NAME-seedK, and say median and range of their validation figures."""

    def run(self) -> None:
        """Fit it."""
        _fit_seeds(self, "bilstm", self.seeds, shared=self.bilstm.distributed == "auto")


@dataclass(frozen=True, kw_only=True)
class TrainPPO(RunConfig):
    """Fit PPO on the encoder of the run's TFT, which is fitted first where it is missing."""

    seeds: int = 1
    """Fit so many seeds on the same encoder, into OUT/NAME/models/ppo, ppo-seed1, ..., and say median and
    range of their validation figures."""

    def run(self) -> None:
        """Fit it."""
        _fit_policies(self, ("ppo",), self.seeds)


@dataclass(frozen=True, kw_only=True)
class TrainRL(RunConfig):
    """Fit several algorithms on the encoder of the run's TFT and compare them on the validation slice."""

    algorithms: tuple[Algorithm, ...] = ("ppo", "a2c", "dqn", "sac")
    """Which; maskable_ppo, recurrent_ppo and qrdqn need the extra "contrib"."""
    seeds: int = 1
    """Seeds of each, into OUT/NAME/models/ALGORITHM, ALGORITHM-seed1, ..."""

    def run(self) -> None:
        """Fit them."""
        _fit_policies(self, self.algorithms, self.seeds)


@dataclass(frozen=True, kw_only=True)
class TrainXGBoost(RunConfig):
    """Fit the gradient-boosted trees and write OUT/NAME/models/xgboost."""

    def run(self) -> None:
        """Fit them."""
        _fit(self, ("xgboost",))


@dataclass(frozen=True, kw_only=True)
class TrainEnsemble(RunConfig):
    """Fit the mean of XGBoost, LightGBM and CatBoost and write OUT/NAME/models/ensemble."""

    def run(self) -> None:
        """Fit them."""
        _fit(self, ("ensemble",))
