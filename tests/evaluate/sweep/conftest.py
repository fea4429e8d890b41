"""Bars and options that make a benchmark small, shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.load import write_bars
from quantum_trader.envs.sample import sample_bars
from quantum_trader.evaluate.run_config import MarketConfig
from quantum_trader.evaluate.sweep.backend_config import BackendConfig
from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.train.tree_config import LogisticConfig, XGBoostConfig


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of EURUSD by the hour."""
    path = tmp_path_factory.mktemp("bars") / "EURUSD.parquet"
    write_bars(sample_bars()[:1_400], path)
    return path


@pytest.fixture
def config(data_file: Path, tmp_path: Path) -> BenchmarkConfig:
    """Two light agents on two folds, in this process, without checks."""
    return BenchmarkConfig(
        out=tmp_path / "runs",
        market=MarketConfig(data=str(data_file)),
        agents=("xgboost", "logistic"),
        walk=WalkForwardConfig(folds=2),
        xgboost=XGBoostConfig(rounds=5, n_jobs=1),
        logistic=LogisticConfig(max_rows=300, max_iterations=5),
        coin_flips=3,
        bootstrap_draws=50,
        checks=False,
        backend=BackendConfig(backend="serial"),
    )
