"""A network that looks at fewer bars: the same as one for shorter windows, with weights of 0 for the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import BiLSTMConfig, bilstm_preset
from quantum_trader.agents.bilstm.network import BiLSTM
from quantum_trader.agents.calibration import Calibration
from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.network import NetworkOutput, mean_importances
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import TFTConfig, tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.scaler import REFERENCE_SCALER

KINDS = {"tft": (TFT, tft_preset("tiny")), "bilstm": (BiLSTM, bilstm_preset("tiny"))}
BARS = 17


def observations(rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows and contexts."""
    generator = torch.Generator().manual_seed(1)
    config = tft_preset("tiny")
    windows = torch.randn(rows, config.window, config.features, generator=generator)
    return windows, torch.randn(rows, config.context_size, generator=generator)


def network(name: str, **changes: Any) -> Any:
    """A network with the same weights every time, in evaluation mode."""
    kind, config = KINDS[name]
    torch.manual_seed(0)
    return kind(replace(config, **changes)).eval()


def agent(name: str, **changes: Any) -> Any:
    """It in service."""
    kind = {"tft": TFTAgent, "bilstm": BiLSTMAgent}[name]
    return kind(
        network(name, **changes),
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(horizon=(1.0, 1.7, 2.4, 4.9), center=0.01, scale=0.004),
        calibration=Calibration(temperature=1.2),
        provenance=Provenance.now(data_sha256="", seed=0, metrics={}),
        precision="fp32",
    )


def answers(model: Any, windows: torch.Tensor, context: torch.Tensor) -> NetworkOutput:
    """What it says, without gradients."""
    with torch.inference_mode():
        found: NetworkOutput = model(windows, context)
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bars", [1, BARS, 59])
def test_it_answers_as_a_network_for_shorter_windows(name: str, bars: int) -> None:
    """Bit for bit what the same weights say to windows cut to the newest bars; older bars weigh 0."""
    windows, context = observations()
    found = answers(network(name, window_bars=bars), windows, context)
    short = answers(network(name, window=bars), windows[:, -bars:].contiguous(), context)
    for ours, theirs in ((found.logits, short.logits), (found.quantiles, short.quantiles)):
        assert torch.equal(ours, theirs)
    assert torch.equal(found.embedding, short.embedding)
    assert found.attention.shape == (4, 60)
    assert torch.equal(found.attention[:, -bars:], short.attention)
    assert not found.attention[:, :-bars].any()
    if found.importances is not None:
        assert short.importances is not None
        assert found.importances.shape == windows.shape
        assert torch.equal(found.importances[:, -bars:], short.importances)
        assert not found.importances[:, :-bars].any()


@pytest.mark.parametrize("name", KINDS)
def test_older_bars_have_no_say(name: str) -> None:
    """Whatever stands in the bars it does not look at, NaN among it, no answer changes; newer bars matter."""
    windows, context = observations()
    model = network(name, window_bars=BARS)
    before = answers(model, windows, context)
    changed = windows.clone()
    changed[:, :-BARS] = float("nan")
    assert torch.equal(before.logits, answers(model, changed, context).logits)
    changed = windows.clone()
    changed[:, -BARS] += 1.0
    assert not torch.equal(before.logits, answers(model, changed, context).logits)


@pytest.mark.parametrize("name", KINDS)
def test_gradients_reach_the_bars_it_looks_at(name: str) -> None:
    """Training learns from the newest bars, and from no other."""
    windows, context = observations()
    windows.requires_grad_()
    model = network(name, window_bars=BARS, **({"knots": 0} if name == "tft" else {}))
    model(windows, context).logits.square().sum().backward()
    assert windows.grad is not None
    moved = windows.grad.abs().sum(dim=(0, 2)) > 0
    assert moved[-BARS:].all()
    assert not moved[:-BARS].any()


@pytest.mark.parametrize("name", KINDS)
def test_all_bars_are_the_default(name: str) -> None:
    """60 bars of 60 are what a network without the setting sees, whatever its windows' length."""
    windows, context = observations()
    plain = answers(network(name), windows, context)
    asked = answers(network(name, window_bars=60), windows, context)
    for one, other in zip(plain, asked, strict=True):
        assert one is other is None or torch.equal(one, other)
    assert KINDS[name][1].bars_seen == 60
    assert replace(KINDS[name][1], window=20).bars_seen == 20


@pytest.mark.parametrize("kind", [TFTConfig, BiLSTMConfig])
def test_a_config_from_before_looks_at_all_bars(kind: type[TFTConfig]) -> None:
    """Settings saved without the key are read with 60; a number below 1 is refused."""
    plain = to_plain(kind())
    del plain["window_bars"]
    assert from_plain(kind, plain, where="config") == kind()
    with pytest.raises(ConfigError, match="window_bars"):
        kind(window_bars=0)


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_network_remembers_its_bars(name: str, tmp_path: Path) -> None:
    """Saved and loaded it answers the same and still does not look further back."""
    made = agent(name, window_bars=BARS)
    made.save(tmp_path / name)
    loaded = type(made).load(tmp_path / name, precision="fp32")
    assert loaded.model.config.window_bars == BARS
    windows, context = (each.numpy() for each in observations())
    inputs = ModelInputs(windows=windows, context=context)
    one, other = made.signals(inputs), loaded.signals(inputs)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert np.array_equal(one.attention, other.attention)
    assert not one.attention[:, :-BARS].any()


def test_mean_importances_are_over_the_bars_looked_at() -> None:
    """They sum to 1 however many bars there are; over all bars they are the plain mean."""
    windows, context = observations()
    for bars in (1, BARS, 60):
        model = network("tft", window_bars=bars)
        found = answers(model, windows, context).importances
        assert found is not None
        means = mean_importances(found, model.config)
        assert torch.allclose(means.sum(dim=1), torch.ones(4))
        if bars == 60:
            assert torch.equal(means, found.mean(dim=1))
