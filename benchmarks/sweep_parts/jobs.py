"""A small agent fitted on one fold: what a sweep consists of.

Workers import this module, so that what is cached in it lasts from job to job.
"""

from __future__ import annotations

import io
import os
import time
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache

import numpy as np

from quantum_trader.envs import Market, guess_preset, sample_bars
from quantum_trader.train import DataConfig, prepare
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared
from quantum_trader.train.tree_config import LogisticConfig, XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost

AGENTS: dict[str, LogisticConfig | XGBoostConfig] = {
    "logistic": LogisticConfig(),
    "logistic, looser": LogisticConfig(penalty=0.01),
    "trees, shallow": XGBoostConfig(rounds=15, max_depth=3),
    "trees": XGBoostConfig(rounds=15),
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One agent on one fold with one seed."""

    agent: str
    fold: int
    folds: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """When and where a job ran."""

    worker: int
    """Its process id."""
    ended: float
    """Seconds on the machine's monotonic clock, which all processes share."""
    processor_s: float
    """Processor seconds, preparing the data excepted."""


def fit(job: Job) -> Done:
    """Fit the agent on the rows up to the fold's end: half of the training rows first, all of them last."""
    data = _prepared()
    begun = time.process_time()
    last = len(data.train) * (job.folds + job.fold + 1) // (2 * job.folds)
    rows, config = data.train.subset(np.arange(last)), AGENTS[job.agent]
    with redirect_stderr(io.StringIO()):  # lines of progress
        if isinstance(config, LogisticConfig):
            fit_logistic(rows, data.validation, config, job.seed)
        else:
            fit_xgboost(rows, data.validation, config, job.seed)
    return Done(worker=os.getpid(), ended=time.monotonic(), processor_s=time.process_time() - begun)


@cache
def _prepared() -> Prepared:
    bars = sample_bars()
    return prepare([Market.build(bars, guess_preset(bars.symbol))], DataConfig())
