"""Fits the agents of a run, or loads those an earlier start of the same run finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_folder import load_arbiter, save_settings
from quantum_trader.agents.logistic import LogisticAgent
from quantum_trader.agents.signals import Agent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.config import to_plain
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_stages import Stages
from quantum_trader.train.arbiter import fit_arbiter
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.xgboost import fit_xgboost

if TYPE_CHECKING:
    from quantum_trader.agents.ppo_agent import PPOAgent
    from quantum_trader.agents.tft.agent import TFTAgent

_ASK_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class FittedAgents:
    """The agents of a run; None where not asked for."""

    xgboost: XGBoostAgent | None
    logistic: LogisticAgent | None
    tft: TFTAgent | None
    ppo: PPOAgent | None
    arbiter: Arbiter | None


def fit_agents(config: RunConfig, prepared: Prepared, stages: Stages) -> FittedAgents:
    """Fit every agent that `config.agents` names, then the Arbiter over them.

    Args:
        config: seeded (see `RunConfig.seeded`).
        prepared: the datasets.
        stages: what is finished already.
    """
    models = config.folder / "models"
    base = {
        "data": prepared.data_sha256,
        "cuts": to_plain(prepared.cuts),
        "labels": to_plain(prepared.labels),
    }
    base |= {"weights": to_plain(config.weights), "scaler": to_plain(prepared.scaler)}
    train, validation = prepared.train, prepared.validation
    xgboost = logistic = tft = ppo = arbiter = None
    if "xgboost" in config.agents:
        xgboost = stages.run(
            "xgboost",
            base | {"config": to_plain(config.xgboost), "seed": config.seed},
            load=lambda: XGBoostAgent.load(models / "xgboost"),
            make=lambda: _saved(
                fit_xgboost(train, validation, config.xgboost, config.seed), models / "xgboost"
            ),
        )
    if "logistic" in config.agents:
        logistic = stages.run(
            "logistic",
            base | {"config": to_plain(config.logistic), "seed": config.seed},
            load=lambda: LogisticAgent.load(models / "logistic"),
            make=lambda: _saved(
                fit_logistic(train, validation, config.logistic, config.seed), models / "logistic"
            ),
        )
    if "tft" in config.agents:
        tft = _tft(config, prepared, stages, base)
    if tft is not None and "ppo" in config.agents:
        ppo = _ppo(config, prepared, stages, base, tft)
    if tft is not None or xgboost is not None:
        arbiter = _arbiter(config, prepared, stages, base, (tft, ppo, xgboost))
    return FittedAgents(xgboost=xgboost, logistic=logistic, tft=tft, ppo=ppo, arbiter=arbiter)


def _tft(config: RunConfig, prepared: Prepared, stages: Stages, base: dict[str, Any]) -> TFTAgent:
    from quantum_trader.agents.tft.agent import TFTAgent
    from quantum_trader.train.tft import fit_tft

    folder = config.folder / "models" / "tft"
    shape = tft_preset(config.preset)
    return stages.run(
        "tft",
        base | {"shape": to_plain(shape), "config": to_plain(config.tft)},
        load=lambda: TFTAgent.load(folder),
        make=lambda: fit_tft(
            prepared.train,
            prepared.validation,
            model=shape,
            training=config.tft,
            folder=folder,
            work=config.folder,
            scaler=prepared.scaler,
            data_sha256=prepared.data_sha256,
        ),
    )


def _ppo(
    config: RunConfig, prepared: Prepared, stages: Stages, base: dict[str, Any], tft: TFTAgent
) -> PPOAgent:
    from quantum_trader.agents.ppo_agent import PPOAgent
    from quantum_trader.train.ppo import fit_ppo
    from quantum_trader.train.ppo_table import encode_market

    models = config.folder / "models"

    def make() -> PPOAgent:
        return fit_ppo(
            [encode_market(tft, market) for market in cut_markets(prepared.train)],
            [encode_market(tft, market) for market in cut_markets(prepared.validation)],
            tft=tft,
            encoder_folder=models / "tft",
            config=config.ppo,
            folder=models / "ppo",
            work=config.folder,
            data_sha256=prepared.data_sha256,
        )

    return stages.run(
        "ppo",
        base | {"config": to_plain(config.ppo), "encoder": tft.model_hash},
        load=lambda: PPOAgent.load(models / "ppo", tft=tft),
        make=make,
    )


def _arbiter(
    config: RunConfig,
    prepared: Prepared,
    stages: Stages,
    base: dict[str, Any],
    members: tuple[TFTAgent | None, PPOAgent | None, XGBoostAgent | None],
) -> Arbiter:
    models = config.folder / "models"
    tft, ppo, xgboost = members
    hashes = [member.model_hash if member is not None else "" for member in members]

    def make() -> Arbiter:
        rows = prepared.validation
        barrier = prepared.labels.barrier_atr
        assert barrier is not None
        settings = fit_arbiter(
            rows,
            tft=ask(tft, rows) if tft is not None else None,
            ppo=ask(ppo, rows) if ppo is not None else None,
            fallback=ask(xgboost, rows) if xgboost is not None else None,
            barrier_atr=barrier,
            horizon_bars=prepared.labels.horizon_bars,
            config=config.arbiter,
        )
        save_settings(models / "arbiter", settings, prepared.scaler, prepared.data_sha256, config.seed)
        return load_arbiter(models)

    ingredients = base | {"config": to_plain(config.arbiter), "members": hashes}
    return stages.run("arbiter", ingredients, load=lambda: load_arbiter(models), make=make)


def load_agents(
    folder: Path, names: Sequence[str], confidence_threshold: float | None = None
) -> FittedAgents:
    """The finished agents of a run.

    Args:
        folder: the run.
        names: the agents it was asked to fit.
        confidence_threshold: gate of the Arbiter instead of the fitted one.

    Raises:
        ModelFolderError: one of them is missing or damaged.
    """
    models = folder / "models"
    arbiter = load_arbiter(models, confidence_threshold=confidence_threshold, strict=True, members=names)
    return FittedAgents(
        xgboost=arbiter.fallback if isinstance(arbiter.fallback, XGBoostAgent) else None,
        logistic=LogisticAgent.load(models / "logistic") if "logistic" in names else None,
        tft=arbiter.tft,
        ppo=arbiter.ppo,
        arbiter=arbiter,
    )


def ask(agent: Agent, rows: PooledDataset) -> NDArray[np.float32]:
    """float32 [N, 3]: the agent's probabilities on every row, batch by batch."""
    parts = [
        agent.signals(rows.inputs(np.arange(first, min(first + _ASK_BATCH, len(rows))))).probabilities
        for first in range(0, len(rows), _ASK_BATCH)
    ]
    return np.concatenate(parts)


def cut_markets(rows: PooledDataset) -> list[Market]:
    """The markets cut to the range of `rows`: one window before the first row, one bar after the last."""
    parts = [rows.end[rows.market == index] for index in range(len(rows.markets))]
    return [
        market.rows(max(int(ends.min()) - WINDOW + 1, 0), min(int(ends.max()) + 2, len(market)))
        for market, ends in zip(rows.markets, parts, strict=True)
        if len(ends)
    ]


def _saved(agent: Any, folder: Path) -> Any:
    agent.save(folder)
    return type(agent).load(folder)
