"""A run's `window_bars`: trained, served, exported and explained alike, and found by the search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.onnx_export import export_onnx
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.experiment import train_agents
from quantum_trader.evaluate.inside import look_inside
from quantum_trader.evaluate.run_config import RunConfig
from quantum_trader.evaluate.run_data import load_markets
from quantum_trader.evaluate.tune_config import TuneConfig, with_values
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.network_config import NetworkTrainConfig

BARS = 24


def test_every_way_to_the_network_sees_the_same_bars(tmp_path: Path) -> None:
    """The trained folder, its explanation and its ONNX file agree; means over the bars sum to 1."""
    run = RunConfig(
        out=tmp_path,
        agents=("tft",),
        preset="tiny",
        window_bars=BARS,
        tft=NetworkTrainConfig(epochs=1, max_samples=128, precision="fp32"),
    )
    train_agents(run, lambda line: None)
    agent = TFTAgent.load(run.folder / "models" / "tft", precision="fp32")
    assert agent.model.config.window_bars == BARS
    (market,) = (each.with_scaler(agent.scaler) for each in load_markets(run.market))
    rows = PooledDataset([market], [triple_barrier(market, LabelConfig(barrier_atr=1.0))])
    inputs = rows.inputs(np.arange(8))
    signals, inside = agent.signals(inputs), look_inside(agent, inputs)
    assert signals.importances is not None
    assert signals.attention is not None
    assert inside is not None
    assert inside.importances is not None
    assert np.allclose(signals.importances.sum(axis=1), 1.0, atol=1e-5)
    assert np.allclose(signals.importances, inside.importances, atol=1e-5)
    assert np.allclose(signals.attention, inside.attention, atol=1e-5)
    assert not signals.attention[:, :-BARS].any()
    report = export_onnx(agent, tmp_path / "tft.onnx", inputs=inputs, timed_calls=0)
    assert max(report.given[name] for name in ("probabilities", "attention", "importances")) < 1e-5


def test_a_search_draws_it_as_a_whole_number() -> None:
    """`window_bars` is a dimension of the networks, and bounds outside the window are refused."""
    asked = TuneConfig(agent="bilstm")
    (window,) = (each for each in asked.dimensions if each.option == "window_bars")
    assert (window.low, window.high, window.whole) == (20, 60, True)
    assert with_values(asked.run_config, {"window_bars": 31}).window_bars == 31
    with pytest.raises(ConfigError, match="window_bars"):
        RunConfig(window_bars=61)
