"""The trained agent in service: folders that are its own, the live story, errors that name the BiLSTM."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.bilstm.network import BiLSTM
from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import FORMAT_VERSION, MANIFEST, Provenance
from quantum_trader.agents.network_agent import WEIGHTS
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError, ModelFolderError
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.scaler import REFERENCE_SCALER

from ..random_inputs import random_inputs
from ..tiny_tft import tiny_tft


def _agent(temperature: float = 2.0) -> BiLSTMAgent:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = BiLSTM(bilstm_preset("tiny"))
    return BiLSTMAgent(
        model,
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(center=0.004, scale=0.003, horizon=(0.5, 1.0, 1.5, 2.0)),
        calibration=Calibration(temperature=temperature),
        provenance=Provenance.now(data_sha256="0" * 64, seed=3, metrics={}),
        precision="fp32",
    )


def test_answers_are_complete_and_ordered() -> None:
    """Probabilities and attention sum to 1, quantiles ascend, importances are None, beyond one chunk too."""
    signals = _agent().signals(random_inputs(200))
    assert signals.quantiles is not None
    assert signals.attention is not None
    assert signals.importances is None
    assert signals.quantiles.shape == (200, len(HORIZONS), 3)
    assert (np.diff(signals.quantiles, axis=-1) >= 0).all()
    for weights, columns in ((signals.probabilities, 3), (signals.attention, 60)):
        assert weights.shape == (200, columns)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-5)


def test_encode_and_answer_make_up_the_signals() -> None:
    """Signals are the heads' answer to one encoder pass, and the embedding comes from that pass."""
    agent, inputs = _agent(), random_inputs(5)
    encoded, signals = agent.encode(inputs), agent.signals(inputs)
    np.testing.assert_array_equal(agent.answer(encoded).probabilities, signals.probabilities)
    np.testing.assert_array_equal(encoded.embedding, agent.embed(inputs))
    assert encoded.embedding.shape == (5, agent.embedding_size)


def test_the_temperature_counts() -> None:
    """At temperature 2 the odds are the square root of those at 1."""
    plain, flat = _agent(1.0).signals(random_inputs(20)), _agent(2.0).signals(random_inputs(20))
    odds = plain.probabilities[:, 1] / plain.probabilities[:, 0]
    np.testing.assert_allclose(flat.probabilities[:, 1] / flat.probabilities[:, 0], np.sqrt(odds), rtol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_bad_number_stays_visible(precision: str, tmp_path: Path) -> None:
    """NaN or infinity in one row makes that row's answer NaN and no other's, in either precision."""
    _agent().save(tmp_path / "bilstm")
    agent = BiLSTMAgent.load(tmp_path / "bilstm", precision=precision)  # type: ignore[arg-type]
    inputs = random_inputs(4)
    inputs.windows[1, 0, 0] = np.inf
    inputs.windows[2, 30, 7] = np.nan
    probabilities = agent.signals(inputs).probabilities
    assert np.isnan(probabilities[1:3]).all()
    assert np.isfinite(probabilities[[0, 3]]).all()


def test_bfloat16_stays_close(tmp_path: Path) -> None:
    """In bfloat16 the answers differ from those in float32 by rounding only."""
    agent, inputs = _agent(), random_inputs(50)
    agent.save(tmp_path / "bilstm")
    rounded = BiLSTMAgent.load(tmp_path / "bilstm", precision="bf16").signals(inputs)
    np.testing.assert_allclose(rounded.probabilities, agent.signals(inputs).probabilities, atol=0.02)


def test_wrong_shapes_are_named() -> None:
    """Inputs of another shape are an error that names the BiLSTM, what it expects and what it found."""
    inputs = random_inputs(2)
    with pytest.raises(ConfigError, match=r"^The BiLSTM expects windows \[B, 60, 14\].*\[2, 59, 14\]"):
        _agent().signals(replace(inputs, windows=inputs.windows[:, 1:]))


def test_loads_equal_in_another_process(tmp_path: Path) -> None:
    """A saved agent answers with the same bits in a fresh process."""
    agent, inputs = _agent(), random_inputs(3)
    agent.save(tmp_path / "bilstm")
    np.savez(tmp_path / "inputs.npz", windows=inputs.windows, context=inputs.context)
    code = f"""
import numpy as np
from pathlib import Path
from quantum_trader.agents import BiLSTMAgent, ModelInputs
agent = BiLSTMAgent.load_model(Path({str(tmp_path / "bilstm")!r}), precision="fp32", num_threads=1)
assert agent.model_hash == {agent.model_hash!r}
signals = agent.signals(ModelInputs(**np.load({str(tmp_path / "inputs.npz")!r})))
np.savez({str(tmp_path / "answer.npz")!r}, probabilities=signals.probabilities,
         quantiles=signals.quantiles, attention=signals.attention)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    answer, expected = np.load(tmp_path / "answer.npz"), agent.signals(inputs)
    np.testing.assert_array_equal(answer["probabilities"], expected.probabilities)
    np.testing.assert_array_equal(answer["quantiles"], expected.quantiles)
    np.testing.assert_array_equal(answer["attention"], expected.attention)


def test_the_twins_refuse_each_other(tmp_path: Path) -> None:
    """A TFT's folder is no BiLSTM's and the other way round; both kinds are named."""
    tiny_tft().save(tmp_path / "tft")
    _agent().save(tmp_path / "bilstm")
    with pytest.raises(ModelFolderError, match="expected bilstm, found tft"):
        BiLSTMAgent.load(tmp_path / "tft")
    with pytest.raises(ModelFolderError, match="expected tft, found bilstm"):
        TFTAgent.load(tmp_path / "bilstm")


def _edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    plain = json.loads((path / MANIFEST).read_text())
    change(plain)
    (path / MANIFEST).write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (lambda plain: plain.update(format_version=FORMAT_VERSION + 1), "newer than format"),
        (lambda plain: plain["config"].update(hidden=64), r"expected \[.*found"),
        (lambda plain: plain["config"].update(hiden=64), "hiden"),
        (lambda plain: plain["config"].update(heads=3), "BiLSTMConfig: heads"),
        (lambda plain: plain["extra"].clear(), "return_scale"),
    ],
    ids=["newer", "another width", "unknown key", "impossible", "no scale"],
)
def test_edited_folders_are_refused(
    change: Callable[[dict[str, Any]], Any], fragment: str, tmp_path: Path
) -> None:
    """A newer format, another shape, an unknown key or a missing part is an error that says so."""
    _agent().save(tmp_path / "bilstm")
    _edit(tmp_path / "bilstm", change)
    with pytest.raises(ModelFolderError, match=fragment):
        BiLSTMAgent.load(tmp_path / "bilstm")


def test_missing_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    """No folder, and weights with a flipped byte, are `ModelFolderError`s."""
    with pytest.raises(ModelFolderError, match="train a model first"):
        BiLSTMAgent.load(tmp_path / "bilstm")
    _agent().save(tmp_path / "bilstm")
    path = tmp_path / "bilstm" / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelFolderError, match="damaged"):
        BiLSTMAgent.load(tmp_path / "bilstm")


def test_the_folder_has_a_card(tmp_path: Path) -> None:
    """The model card names the network and its size."""
    _agent().save(tmp_path / "bilstm")
    card = (tmp_path / "bilstm" / "model_card.md").read_text(encoding="utf-8")
    assert card.startswith("# bilstm\n\nBidirectional LSTM with attention, 14,006 parameters.")


def test_predicts_live() -> None:
    """59 bars HOLD for want of history; then a signal has probabilities, quantiles and attention."""
    agent, bars = _agent(), sample_bars()
    assert agent.add_to_history("EURUSD", bars[:58]) == 58
    waiting = agent.predict("EURUSD", bars.bar(58))
    assert (waiting.action, waiting.meta.reason) == (Action.HOLD, "insufficient history")
    answer = agent.batch_predict({"EURUSD": bars.bar(59)})["EURUSD"]
    assert 0.5 <= answer.confidence <= 1.0
    assert answer.meta.quantiles is not None
    assert answer.meta.attention is not None
    assert answer.meta.attention.sum() == pytest.approx(1.0, abs=1e-4)
    assert answer.meta.importances is None


def test_settings_load_without_torch() -> None:
    """The network's shape is readable in a process that never imports torch."""
    code = (
        "import sys; import quantum_trader.agents.bilstm; import quantum_trader.agents.bilstm.config; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
