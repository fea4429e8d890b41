"""Trains a policy on the table of TFT encoder outputs, fine-tunes it if asked, and exports the best."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from quantum_trader.agents.calibration import fit_calibration
from quantum_trader.agents.folder import Provenance, load_model_folder
from quantum_trader.agents.policy_agent import PolicyAgent
from quantum_trader.agents.policy_network import staying_out
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.precision import torch_threads
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.files import json_sha256
from quantum_trader.train.progress import Progress
from quantum_trader.train.rl.algorithms import build_algorithm, falling
from quantum_trader.train.rl.config import OFF_POLICY, Algorithm, RLConfig, can_export
from quantum_trader.train.rl.environment import TrainingVecEnv, training_env
from quantum_trader.train.rl.export import export_policy
from quantum_trader.train.rl.fine_tune import FineTuning
from quantum_trader.train.rl.monitor import TrainingMonitor, Watch, refuse_broken_weights
from quantum_trader.train.rl.scalars import result_metrics
from quantum_trader.train.rl.scale import fit_scale, set_scale
from quantum_trader.train.rl.table import EncodedMarket
from quantum_trader.train.rl.validation import TablePolicy, policy_of, try_policy
from quantum_trader.train.rl.warm_start import can_warm_start, warm_start


@dataclass(frozen=True, kw_only=True)
class LabelledStates:
    """Validation rows by which a policy's probabilities are calibrated."""

    market: NDArray[np.int64]
    """int64 [N]: which of the validation markets."""
    bar: NDArray[np.int64]
    """int64 [N]: bar in it."""
    action: NDArray[np.integer]
    """int [N]: the label, an `Action`."""
    hold_share: float
    """Share of HOLD among the training labels."""


@dataclass(frozen=True, kw_only=True)
class FittedPolicy:
    """What a training gave."""

    agent: PolicyAgent | None
    """The kept policy; None for an algorithm whose policy cannot be exported."""
    metrics: dict[str, float]
    """Validation figures of the kept policy."""


def fit_policy(
    train: Sequence[EncodedMarket],
    validation: Sequence[EncodedMarket],
    *,
    tft: TFTAgent,
    encoder_folder: Path,
    config: RLConfig,
    folder: Path,
    work: Path,
    data_sha256: str,
    algorithm: Algorithm = "ppo",
    name: str = "",
    labels: LabelledStates | None = None,
) -> FittedPolicy:
    """Train, keep the policy that does best on validation, write its model folder.

    Training that was cut off goes on from its last evaluation to the same result. Random state and threads of
    the process are as before when this returns.

    Args:
        train: markets cut to the training range, with their tables; mirrored ones included, if wanted.
        validation: markets cut to the validation range; they choose the policy and nothing else.
        tft: the agent whose encoder made the tables.
        encoder_folder: the model folder it was loaded from, copied into the policy's.
        config: everything else.
        folder: the model folder to write.
        work: checkpoints go to `work/checkpoints/NAME.pt`, logs to `work/tensorboard/NAME`.
        data_sha256: hash of the data, kept as provenance and checked on resuming.
        algorithm: by name.
        name: what files are called; by default after the algorithm.
        labels: rows to calibrate the action probabilities on; None leaves them as they are.

    Raises:
        TrainingError: no markets, another encoder than the one in `encoder_folder`, weights that are not
            finite, or a checkpoint of another configuration.
        ConfigError: a training market is shorter than an episode, the algorithm is unknown, or its package
            is missing.
    """
    for kind, markets in (("training", train), ("validation", validation)):
        if not markets:
            raise TrainingError(f"There are no {kind} markets: give longer data or move the split dates.")
    if load_model_folder(encoder_folder, kind="tft").sha256 != tft.model_hash:
        raise TrainingError(f"{encoder_folder} is not the given TFT's: give the folder it was loaded from.")
    if config.fine_tune.total_steps and algorithm != "ppo":
        raise ConfigError(
            f"fine_tune: only ppo has a second phase, found {algorithm}: leave total_steps at 0."
        )
    fitting = _Fitting(
        train=train,
        validation=validation,
        tft=tft,
        encoder_folder=encoder_folder,
        config=config,
        work=work,
        algorithm=algorithm,
        name=name or algorithm,
        config_sha256=_identity(train, validation, config, algorithm, tft, data_sha256),
    )
    with torch_threads(config.num_threads), _kept_random_state():
        kept = fitting.first_phase()
        if config.fine_tune.total_steps:
            kept = fitting.second_phase(kept)
        if not can_export(algorithm):
            tried = {"best_tried_utility": kept.monitor.best_score}
            return FittedPolicy(agent=None, metrics=kept.monitor.metrics() | tried)
        agent, metrics = fitting.export(kept)
    if labels is not None:
        agent.calibration = _calibration(agent, kept.validation, labels)
    provenance = Provenance.now(data_sha256=data_sha256, seed=config.seed, metrics=metrics)
    agent.save(folder, provenance=provenance, encoder_folder=kept.encoder_folder)
    fitting.forget_second_phase()
    return FittedPolicy(agent=PolicyAgent.load(folder, tft=tft), metrics=metrics)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """Where a phase ended, its best policy loaded."""

    model: BaseAlgorithm
    monitor: TrainingMonitor
    tft: TFTAgent
    encoder_folder: Path
    validation: Sequence[EncodedMarket]
    """Encoded by `tft`."""


@dataclass(frozen=True, kw_only=True)
class _Fitting:
    """The steps of `fit_policy`, whose arguments these are."""

    train: Sequence[EncodedMarket]
    validation: Sequence[EncodedMarket]
    tft: TFTAgent
    encoder_folder: Path
    config: RLConfig
    work: Path
    algorithm: Algorithm
    name: str
    config_sha256: str

    def first_phase(self) -> _Kept:
        """Train on the tables."""
        config, algorithm, validation = self.config, self.algorithm, self.validation
        model, env = _model(self.train, config, algorithm)
        warm = config.warm_start and can_warm_start(algorithm, config)
        checkpoint = self._checkpoint(self.name)
        if warm and not checkpoint.exists():
            warm_start(model, self.train, self.tft, config)
        tables = [item.table for item in validation]
        constant_entropy = algorithm not in OFF_POLICY
        monitor = TrainingMonitor(
            model,
            env,
            lambda: try_policy(
                policy_of(model, algorithm, config, tables), validation, config.env, config.risk_aversion
            ),
            Watch(
                total_steps=config.total_steps,
                evaluations=config.evaluations,
                smoothing=config.smoothing,
                patience=config.patience,
                from_start=warm,
            ),
            checkpoint,
            config_sha256=self.config_sha256,
            entropy=falling(config.entropy_coef, config.final_entropy_coef) if constant_entropy else None,
        )
        self._learn(model, monitor, self.name)
        return _Kept(
            model=model,
            monitor=monitor,
            tft=self.tft,
            encoder_folder=self.encoder_folder,
            validation=validation,
        )

    def second_phase(self, first: _Kept) -> _Kept:
        """Go on in the full network."""
        assert isinstance(first.model, OnPolicyAlgorithm)
        phase = FineTuning(
            first.model,
            self.train,
            self.validation,
            self.tft,
            self.config,
            self.work,
            name=self._second_name,
            config_sha256=self.config_sha256,
        )
        self._learn(phase.model, phase.monitor, phase.name)
        tft, folder = phase.save_encoder(self.encoder_folder)
        return _Kept(
            model=phase.model,
            monitor=phase.monitor,
            tft=tft,
            encoder_folder=folder,
            validation=phase.encoded(tft, self.validation),
        )

    def export(self, kept: _Kept) -> tuple[PolicyAgent, dict[str, float]]:
        """The agent and its validation figures; one that stays out where nothing tried was worth more."""
        config, metrics = self.config, kept.monitor.metrics()
        network = export_policy(kept.model, self.algorithm, config)
        if config.stay_out and kept.monitor.best_score <= 0.0:
            network = staying_out(network)
            policy = TablePolicy(network, [item.table for item in kept.validation])
            metrics = result_metrics(try_policy(policy, kept.validation, config.env, config.risk_aversion))
        metrics["best_tried_utility"] = kept.monitor.best_score
        return PolicyAgent(network, kept.tft, name=self.name), metrics

    def forget_second_phase(self) -> None:
        """The first phase's checkpoint is its caller's to remove; the second's nobody else knows of."""
        self._checkpoint(self._second_name).unlink(missing_ok=True)

    @property
    def _second_name(self) -> str:
        return f"{self.name}-fine-tuned"

    def _checkpoint(self, name: str) -> Path:
        return self.work / "checkpoints" / f"{name}.pt"

    def _learn(self, model: BaseAlgorithm, monitor: TrainingMonitor, name: str) -> None:
        learn(model, monitor, name, self.work / "tensorboard" / name)
        monitor.load_best()


def learn(model: BaseAlgorithm, monitor: TrainingMonitor, name: str, log: Path) -> None:
    """Train what is still to do, from the monitor's checkpoint if there is one.

    Raises:
        TrainingError: the weights stop being finite.
    """
    steps = monitor.resume()
    if steps == 0:
        return
    model.set_logger(configure(str(log), ["tensorboard"]))
    total = model.num_timesteps + steps
    try:
        with Progress(name, total=total, unit="steps", start=model.num_timesteps) as monitor.progress:
            model.learn(steps, callback=monitor, reset_num_timesteps=False)
    except (ValueError, RuntimeError):
        # What torch raises for probabilities that are not numbers, with and without checks of its own.
        refuse_broken_weights(model)
        raise
    finally:
        model.logger.close()


def _model(
    train: Sequence[EncodedMarket], config: RLConfig, algorithm: Algorithm
) -> tuple[BaseAlgorithm, TrainingVecEnv]:
    env = training_env(train, config, algorithm)
    model = build_algorithm(algorithm, env, config, train[0].market.bars.step_ms)
    set_scale(model.policy, *fit_scale(train))
    return model, env


def _calibration(agent: PolicyAgent, validation: Sequence[EncodedMarket], labels: LabelledStates) -> Any:
    """Temperature of the probabilities of a flat account."""
    rows = np.empty((len(labels.bar), validation[0].table.shape[1]), dtype=np.float32)
    for index, item in enumerate(validation):
        mine = labels.market == index
        rows[mine] = item.table[labels.bar[mine]]
    raw = agent.probabilities(rows, None)
    return fit_calibration(raw, labels.action, hold_share=labels.hold_share)


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Stable-Baselines3 seeds the generators of the whole process: put them back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _identity(
    train: Sequence[EncodedMarket],
    validation: Sequence[EncodedMarket],
    config: RLConfig,
    algorithm: Algorithm,
    tft: TFTAgent,
    data_sha256: str,
) -> str:
    """Hash of everything that decides how training goes on."""
    # The number of threads may change between two parts of one training.
    return json_sha256(
        {
            "config": to_plain(replace(config, num_threads=0)),
            "algorithm": algorithm,
            "encoder": [tft.model_hash, tft.bf16],
            "data": data_sha256,
            "train": [_extent(item) for item in train],
            "validation": [_extent(item) for item in validation],
        }
    )


def _extent(item: EncodedMarket) -> list[Any]:
    bars = item.market.bars
    # The last close tells a market from its mirror image.
    ends = [int(bars.timestamp[0]), int(bars.timestamp[-1]), float(bars.close[-1])]
    return [item.market.symbol, *ends, to_plain(item.market.contract)]
