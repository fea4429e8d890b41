"""Fits the agents of a run, or loads those an earlier start of the same run finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_folder import load_arbiter, save_settings
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.drift import fit_drift
from quantum_trader.agents.ensemble_agent import EnsembleAgent
from quantum_trader.agents.folder import load_model_folder
from quantum_trader.agents.logistic import LogisticAgent
from quantum_trader.agents.network_config import NetworkConfig
from quantum_trader.agents.signals import Agent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ModelFolderError
from quantum_trader.envs.features import FEATURE_SET_VERSION
from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.run_config import SEED_MARK, AgentName, RunConfig
from quantum_trader.evaluate.run_stages import Stages
from quantum_trader.train.arbiter import fit_arbiter
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.ensemble import fit_ensemble
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.rl.config import ALGORITHMS, Algorithm, RLConfig, can_export
from quantum_trader.train.xgboost import fit_xgboost

if TYPE_CHECKING:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent
    from quantum_trader.agents.network_agent import NetworkAgent
    from quantum_trader.agents.policy_agent import PolicyAgent
    from quantum_trader.agents.tft.agent import TFTAgent
    from quantum_trader.train.network_figures import EpochReport
    from quantum_trader.train.rl.fit import FittedPolicy

Floats32 = NDArray[np.float32]

Result = TypeVar("Result")
Settings = TypeVar("Settings")
AnyTabularAgent = TypeVar("AnyTabularAgent", XGBoostAgent, EnsembleAgent, LogisticAgent)
AnyNetworkAgent = TypeVar("AnyNetworkAgent", bound="NetworkAgent[Any]")

_ASK_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class FittedAgents:
    """The agents of a run; None where not asked for."""

    xgboost: XGBoostAgent | None
    logistic: LogisticAgent | None
    tft: TFTAgent | None
    bilstm: BiLSTMAgent | None
    ppo: PolicyAgent | None
    policies: tuple[PolicyAgent, ...]
    """Every trained policy: PPO, its further seeds, other algorithms."""
    arbiter: Arbiter | None
    ensemble: EnsembleAgent | None = None


def fit_agents(
    config: RunConfig, prepared: Prepared, stages: Stages, *, with_arbiter: bool = True
) -> FittedAgents:
    """Fit every agent that `config.agents` names, then the Arbiter over them.

    Args:
        config: seeded (see `RunConfig.seeded`).
        prepared: the datasets.
        stages: what is finished already.
        with_arbiter: False leaves the run's Arbiter as it is.
    """
    fit = Fitting(config, prepared, stages)
    wanted = config.agents
    xgboost = fit.xgboost() if "xgboost" in wanted else None
    logistic = fit.logistic() if "logistic" in wanted else None
    ensemble = fit.ensemble() if "ensemble" in wanted else None
    tft = fit.tft() if "tft" in wanted else None
    bilstm = fit.bilstm() if "bilstm" in wanted else None
    policies = fit.policies(tft) if tft is not None else ()
    ppo = next((policy for policy in policies if policy.name == "ppo"), None)
    members = with_arbiter and (tft is not None or xgboost is not None)
    arbiter = fit.arbiter(tft, ppo, xgboost) if members else None
    return FittedAgents(
        xgboost=xgboost,
        logistic=logistic,
        tft=tft,
        bilstm=bilstm,
        ppo=ppo,
        policies=policies,
        arbiter=arbiter,
        ensemble=ensemble,
    )


class Fitting:
    """Fits one agent after the other, each a stage that is kept while its ingredients stay the same."""

    def __init__(self, config: RunConfig, prepared: Prepared, stages: Stages) -> None:
        self.config = config
        self.prepared = prepared
        self.stages = stages
        self.models = config.folder / "models"
        self.data = {
            "data": prepared.data_sha256,
            "feature_set": FEATURE_SET_VERSION,
            "contracts": [to_plain(market.contract) for market in prepared.markets],
            "cuts": to_plain(prepared.cuts),
            "labels": to_plain(prepared.labels),
            "weights": to_plain(config.weights),
        }

    def xgboost(self) -> XGBoostAgent:
        """The trees."""
        return self._tabular(XGBoostAgent, fit_xgboost, self.config.xgboost)

    def ensemble(self) -> EnsembleAgent:
        """The mean of several libraries' trees."""
        return self._tabular(EnsembleAgent, fit_ensemble, self.config.ensemble)

    def logistic(self) -> LogisticAgent:
        """The regression."""
        return self._tabular(LogisticAgent, fit_logistic, self.config.logistic)

    def _tabular(
        self,
        kind: type[AnyTabularAgent],
        fit: Callable[[PooledDataset, PooledDataset, Settings, int], AnyTabularAgent],
        settings: Settings,
    ) -> AnyTabularAgent:
        folder = self.models / kind.name

        def make() -> AnyTabularAgent:
            agent = fit(self.prepared.train, self.prepared.validation, settings, self.config.seed)
            agent.save(folder)
            return agent

        return self.stages.run(
            kind.name, self._ingredients(settings), load=lambda: kind.load(folder), make=make
        )

    def tft(self) -> TFTAgent:
        """The TFT."""
        from quantum_trader.agents.tft.agent import TFTAgent

        return self._network(TFTAgent, tft_preset(self.config.preset), self.config.tft)

    def bilstm(self) -> BiLSTMAgent:
        """The BiLSTM."""
        from quantum_trader.agents.bilstm.agent import BiLSTMAgent

        return self._network(BiLSTMAgent, bilstm_preset(self.config.preset), self.config.bilstm)

    def _network(
        self, kind: type[AnyNetworkAgent], shape: NetworkConfig, settings: NetworkTrainConfig
    ) -> AnyNetworkAgent:
        from quantum_trader.train.network import fit_network

        name, folder = kind.name, self.models / kind.name
        shape = replace(shape, window_bars=self.config.window_bars)

        def make() -> AnyNetworkAgent:
            return fit_network(
                kind,
                self.prepared.train,
                self.prepared.validation,
                model=shape,
                training=settings,
                folder=folder,
                work=self.config.folder,
                scaler=self.prepared.scaler,
                data_sha256=self.prepared.data_sha256,
                on_epoch=tell,
            )

        def tell(report: EpochReport) -> None:
            found = report.validation
            mark = ", best so far" if report.best else ""
            self.stages.say(
                f"{name} epoch {report.epoch}: validation loss {found.loss:.4f}, "
                f"accuracy {found.accuracy:.3f}{mark}"
            )

        return self.stages.run(
            name,
            self._ingredients(settings) | {"shape": to_plain(shape)},
            load=lambda: kind.load(folder),
            make=make,
            checkpoint=self.config.folder / "checkpoints" / f"{name}.pt",
        )

    def policies(self, tft: TFTAgent) -> tuple[PolicyAgent, ...]:
        """Every policy asked for, seed by seed."""
        wanted = policy_names(self.config.agents, self.config.policy_seeds)
        return tuple(self.policy(tft, algorithm, seed) for algorithm, seed, _ in wanted)

    def policy_metrics(self, tft: TFTAgent, algorithm: Algorithm, seed: int) -> dict[str, float]:
        """Train one policy; returns its validation figures.

        A recurrent policy, which the agents' interface has no place for, leaves its figures only.
        """
        name = policy_name(algorithm, seed)
        if can_export(algorithm):
            self.policy(tft, algorithm, seed)
            return load_model_folder(self.models / name, kind="policy").provenance.metrics
        path = self.config.folder / "policies" / f"{name}.json"

        def make() -> dict[str, float]:
            metrics = self._train(tft, algorithm, seed, name).metrics
            write_json(path, metrics)
            return metrics

        return self._policy_stage(tft, algorithm, seed, name, load=lambda: _read_metrics(path), make=make)

    def policy(self, tft: TFTAgent, algorithm: Algorithm, seed: int = 0) -> PolicyAgent:
        """One policy; `seed` is added to that of the run."""
        from quantum_trader.agents.policy_agent import PolicyAgent

        name = policy_name(algorithm, seed)

        def make() -> PolicyAgent:
            fitted = self._train(tft, algorithm, seed, name)
            assert fitted.agent is not None
            return fitted.agent

        def load() -> PolicyAgent:
            return PolicyAgent.load(self.models / name, tft=tft)

        return self._policy_stage(tft, algorithm, seed, name, load=load, make=make)

    def _train(self, tft: TFTAgent, algorithm: Algorithm, seed: int, name: str) -> FittedPolicy:
        from quantum_trader.train.rl.run import train_policy

        fitted = train_policy(
            self.prepared,
            tft=tft,
            encoder_folder=self.models / "tft",
            config=self._policy_settings(seed),
            folder=self.models / name,
            work=self.config.folder,
            algorithm=algorithm,
            name=name,
        )
        if fitted.metrics["validation_trades"] == 0:
            self.stages.say(f"{name}: stays out; nothing it tried beat that on validation")
        return fitted

    def _policy_stage(
        self,
        tft: TFTAgent,
        algorithm: Algorithm,
        seed: int,
        name: str,
        *,
        load: Callable[[], Result],
        make: Callable[[], Result],
    ) -> Result:
        ingredients = self._ingredients(self._policy_settings(seed))
        ingredients |= {"encoder": tft.model_hash, "algorithm": algorithm}
        checkpoint = self.config.folder / "checkpoints" / f"{name}.pt"
        return self.stages.run(name, ingredients, load=load, make=make, checkpoint=checkpoint)

    def _policy_settings(self, seed: int) -> RLConfig:
        return replace(self.config.rl, seed=self.config.rl.seed + seed)

    def arbiter(self, tft: TFTAgent | None, ppo: PolicyAgent | None, xgboost: XGBoostAgent | None) -> Arbiter:
        """The Arbiter's numbers, fitted on what its members say of the validation rows."""
        rows, labels, members = self.prepared.validation, self.prepared.labels, (tft, ppo, xgboost)
        names = [member.name for member in members if member is not None]

        def make() -> Arbiter:
            assert labels.barrier_atr is not None
            said = [ask(member, rows) if member is not None else None for member in members]
            settings = fit_arbiter(
                rows,
                tft=said[0],
                ppo=said[1],
                fallback=said[2],
                barrier_atr=labels.barrier_atr,
                horizon_bars=labels.horizon_bars,
                config=self.config.arbiter,
            )
            save_settings(
                self.models / "arbiter",
                settings,
                members={member.name: member.model_hash for member in members if member is not None},
                scaler=self.prepared.scaler,
                data_sha256=self.prepared.data_sha256,
                seed=self.config.seed,
                drift=fit_drift(_training_features(self.prepared.train)),
            )
            return load()

        def load() -> Arbiter:
            return load_arbiter(self.models, members=names)

        hashes = [member.model_hash for member in members if member is not None]
        ingredients = self._ingredients(self.config.arbiter) | {"members": hashes}
        return self.stages.run("arbiter", ingredients, load=load, make=make)

    def _ingredients(self, settings: Any) -> dict[str, Any]:
        return self.data | {"config": to_plain(settings), "seed": self.config.seed}


def _training_features(train: PooledDataset) -> list[Floats32]:
    """Raw features of each market's training rows, float32 [rows, 14], in order."""
    return [market.features[train.end[train.market == i]] for i, market in enumerate(train.markets)]


def load_agents(
    folder: Path,
    names: Sequence[AgentName],
    confidence_threshold: float | None = None,
    *,
    policy_seeds: int = 1,
) -> FittedAgents:
    """The finished agents of a run.

    Args:
        folder: the run.
        names: the agents it was asked to fit.
        confidence_threshold: gate of the Arbiter instead of the fitted one.
        policy_seeds: how many seeds each policy was trained with.

    Raises:
        ModelFolderError: one of them is missing or damaged.
    """
    models = folder / "models"
    arbiter = None
    if (models / "arbiter").exists():
        arbiter = load_arbiter(models, confidence_threshold=confidence_threshold, strict=True, members=names)
    tft = _load_tft(models, arbiter) if "tft" in names else None
    policies = tuple(
        _load_policy(models / name, tft, arbiter) for _, _, name in policy_names(names, policy_seeds)
    )
    return FittedAgents(
        xgboost=XGBoostAgent.load(models / "xgboost") if "xgboost" in names else None,
        logistic=LogisticAgent.load(models / "logistic") if "logistic" in names else None,
        tft=tft,
        bilstm=_load_bilstm(models) if "bilstm" in names else None,
        ppo=next((policy for policy in policies if policy.name == "ppo"), None),
        policies=policies,
        arbiter=arbiter,
        ensemble=EnsembleAgent.load(models / "ensemble") if "ensemble" in names else None,
    )


def policy_names(names: Sequence[AgentName], seeds: int) -> list[tuple[Algorithm, int, str]]:
    """Algorithm, what is added to the seed, and name of each policy of a run."""
    asked: list[Algorithm] = [name for name in ALGORITHMS if name in names]
    return [(algorithm, seed, policy_name(algorithm, seed)) for algorithm in asked for seed in range(seeds)]


def policy_name(algorithm: Algorithm, seed: int) -> str:
    """What a policy and its files are called; `seed` counts from 0."""
    return f"{algorithm}{SEED_MARK}{seed}" if seed else algorithm


def _read_metrics(path: Path) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelFolderError(f"{path} cannot be read ({error}): train the policy again.") from error


def _load_tft(models: Path, arbiter: Arbiter | None) -> TFTAgent:
    """The Arbiter's own TFT where there is one, so that the network is in memory once."""
    from quantum_trader.agents.tft.agent import TFTAgent

    return arbiter.tft if arbiter is not None and arbiter.tft is not None else TFTAgent.load(models / "tft")


def _load_bilstm(models: Path) -> BiLSTMAgent:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent

    return BiLSTMAgent.load(models / "bilstm")


def _load_policy(path: Path, tft: TFTAgent | None, arbiter: Arbiter | None) -> PolicyAgent:
    from quantum_trader.agents.policy_agent import PolicyAgent

    if arbiter is not None and arbiter.ppo is not None and path.name == arbiter.ppo.name:
        return arbiter.ppo
    return PolicyAgent.load(path, tft=tft)


def ask(agent: Agent, rows: PooledDataset) -> NDArray[np.float32]:
    """float32 [N, 3]: the agent's probabilities on every row, batch by batch."""
    parts = [
        agent.signals(rows.inputs(np.arange(first, min(first + _ASK_BATCH, len(rows))))).probabilities
        for first in range(0, len(rows), _ASK_BATCH)
    ]
    return np.concatenate(parts)
