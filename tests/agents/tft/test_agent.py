"""The trained agent in service: folders, one pass for all, honest NaN."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.network_agent import WEIGHTS
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.agents.tft.scaling import ReturnScale, fit_return_scale
from quantum_trader.agents.tft.weights import read_weights
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.files import file_sha256
from quantum_trader.envs.scaler import REFERENCE_SCALER

from ..random_inputs import random_inputs

TINY = tft_preset("tiny")


def _agent(temperature: float = 2.0) -> TFTAgent:
    torch.manual_seed(3)
    return TFTAgent(
        TFT(TINY),
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(center=0.004, scale=0.003, horizon=(0.5, 1.0, 1.5, 2.0)),
        calibration=Calibration(temperature=temperature),
        provenance=Provenance.now(data_sha256="0" * 64, seed=3, metrics={}),
        precision="fp32",
        num_threads=1,
    )


def test_answers_are_complete_and_ordered() -> None:
    """Probabilities, attention and importances sum to 1, quantiles ascend, for batches beyond one chunk."""
    signals = _agent().signals(random_inputs(300))
    assert signals.quantiles is not None
    assert signals.attention is not None
    assert signals.importances is not None
    assert signals.probabilities.shape == (300, 3)
    assert signals.quantiles.shape == (300, len(HORIZONS), 3)
    assert (np.diff(signals.quantiles, axis=-1) >= 0).all()
    for weights in (signals.probabilities, signals.attention, signals.importances):
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)


def test_one_pass_serves_signals_and_embedding() -> None:
    """Signals, embedding, and both at once come from the same numbers."""
    agent, inputs = _agent(), random_inputs(5)
    encoded = agent.encode(inputs)
    np.testing.assert_array_equal(agent.answer(encoded).probabilities, agent.signals(inputs).probabilities)
    np.testing.assert_array_equal(encoded.embedding, agent.embed(inputs))
    assert encoded.embedding.shape == (5, agent.embedding_size)


def test_temperature_flattens() -> None:
    """A temperature above 1 takes the square root of the odds at 2, and keeps the most probable action."""
    plain, flat = _agent(1.0).signals(random_inputs(20)), _agent(2.0).signals(random_inputs(20))
    np.testing.assert_array_equal(plain.actions, flat.actions)
    odds = plain.probabilities[:, 1] / plain.probabilities[:, 0]
    np.testing.assert_allclose(flat.probabilities[:, 1] / flat.probabilities[:, 0], np.sqrt(odds), rtol=1e-4)


def test_not_a_number_stays_visible() -> None:
    """A NaN in one row makes that row's answer NaN and no other's."""
    inputs = random_inputs(4)
    inputs.windows[2, 30, 7] = np.nan
    probabilities = _agent().signals(inputs).probabilities
    assert np.isnan(probabilities[2]).all()
    assert np.isfinite(np.delete(probabilities, 2, axis=0)).all()


def test_wrong_shapes_are_named() -> None:
    """Inputs of another shape are a `ConfigError` that names what was expected and found."""
    inputs = random_inputs(2)
    with pytest.raises(ConfigError, match=r"\[B, 60, 14\].*\[2, 59, 14\]"):
        _agent().signals(replace(inputs, windows=inputs.windows[:, 1:]))


def test_threads_are_restored() -> None:
    """A call leaves torch's number of threads as it was."""
    before = torch.get_num_threads()
    _agent().signals(random_inputs(2))
    assert torch.get_num_threads() == before


def test_return_scale_turns_returns_into_units() -> None:
    """Returns in units have deviation 1 at every horizon, and the unit follows the window's last ATR."""
    rng = np.random.default_rng(0)
    last = rng.uniform(-0.5, 2.0, (5_000, 14)).astype(np.float32)
    ranges = REFERENCE_SCALER.center[12] + REFERENCE_SCALER.scale[12] * last[:, 12]
    returns = (rng.standard_normal((5_000, 4)) * ranges[:, None] * np.array([1, 2, 3, 4])).astype(np.float32)
    returns[:100, 3] = np.nan
    scale = fit_return_scale(last, returns, REFERENCE_SCALER)
    np.testing.assert_allclose(scale.horizon, [1, 2, 3, 4], rtol=0.05)
    windows = np.zeros((2, 60, 14), np.float32)
    windows[1, -1, 12] = 1.0
    units = scale.of(windows)
    np.testing.assert_allclose(units[1] / units[0], 1 + scale.scale / scale.center, rtol=1e-5)


def test_loads_equal_in_another_process(tmp_path: Path) -> None:
    """A saved agent answers with the same bits in a fresh process."""
    agent, inputs = _agent(), random_inputs(3)
    agent.save(tmp_path / "tft")
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context)
    code = f"""
import numpy as np
from pathlib import Path
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft import TFTAgent
agent = TFTAgent.load(Path({str(tmp_path / "tft")!r}), precision="fp32", num_threads=1)
signals = agent.signals(ModelInputs(**np.load({str(tmp_path / "inputs.npz")!r})))
np.savez({str(tmp_path / "answer.npz")!r}, probabilities=signals.probabilities, quantiles=signals.quantiles)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    answer, expected = np.load(tmp_path / "answer.npz"), agent.signals(inputs)
    np.testing.assert_array_equal(answer["probabilities"], expected.probabilities)
    np.testing.assert_array_equal(answer["quantiles"], expected.quantiles)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """A flipped byte in the weights is a `ModelFolderError`."""
    _agent().save(tmp_path / "tft")
    path = tmp_path / "tft" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelFolderError):
        TFTAgent.load(tmp_path / "tft")


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    """Weights whose names, shapes or format are not the config's are refused by name."""
    _agent().save(tmp_path / "tft")
    good = load_file(tmp_path / "tft" / WEIGHTS)
    other = tmp_path / "other.safetensors"
    bias = "decide.linear.bias"
    for change in (
        {bias: torch.zeros(4)},
        {bias: torch.zeros(3, dtype=torch.float16)},
        {"more": torch.zeros(1)},
    ):
        save_file(good | change, other)
        with pytest.raises(ModelFolderError, match=next(iter(change))):
            read_weights(lambda: TFT(TINY), other)
    other.write_bytes(b"no weights")
    with pytest.raises(ModelFolderError, match="damaged"):
        read_weights(lambda: TFT(TINY), other)


def test_config_of_another_shape_is_refused(tmp_path: Path) -> None:
    """A config edited to another width no longer fits the weights; an unknown key is refused."""
    _agent().save(tmp_path / "tft")
    manifest = tmp_path / "tft" / "config.json"
    plain = json.loads(manifest.read_text())
    plain["config"]["hidden"] = 32
    manifest.write_text(json.dumps(plain))
    with pytest.raises(ModelFolderError, match="expected"):
        TFTAgent.load(tmp_path / "tft")
    plain["config"]["hiden"] = 16
    manifest.write_text(json.dumps(plain))
    with pytest.raises(ModelFolderError, match="hiden"):
        TFTAgent.load(tmp_path / "tft")
    assert file_sha256(tmp_path / "tft" / WEIGHTS) == plain["files"][WEIGHTS]["sha256"]


def test_settings_load_without_torch() -> None:
    """The network's and the training's settings are readable in a process that never imports torch."""
    code = (
        "import sys; import quantum_trader.agents.tft; import quantum_trader.agents.tft.config; "
        "import quantum_trader.train.network_config; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
