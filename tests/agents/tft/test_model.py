"""The network as a whole: shapes, explanations, ordering, gradients, and that it learns what needs memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torch.nn import functional

from quantum_trader.agents.network import parameter_count
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.heads import QuantileHead
from quantum_trader.agents.tft.model import TFT
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError

from ..random_inputs import answer, random_tensors

TINY = tft_preset("tiny")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """One thread: a busy machine makes two of them far slower than one."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_presets_have_the_stated_size() -> None:
    """The presets' documented parameter counts hold, and their answers have the documented shapes."""
    for name, millions in (("paper", 2.56), ("small", 0.65), ("tiny", 0.03)):
        config = tft_preset(name)  # type: ignore[arg-type]
        model = TFT(config)
        assert round(parameter_count(model) / 1e6, 2) == millions
        output = answer(model, *random_tensors(3, config))
        assert output.logits.shape == (3, len(Action))
        assert output.quantiles.shape == (3, len(config.horizons), 3)
        assert output.attention.shape == (3, 60)
        assert output.importances.shape == (3, 60, 14)
        assert output.static_importances.shape == (3, config.static)
        assert output.embedding.shape == (3, config.hidden)


def test_explanations_are_shares() -> None:
    """Attention over the bars and selection weights of every step are positive and sum to 1."""
    output = answer(TFT(TINY), *random_tensors(5, TINY))
    for weights in (output.attention, output.importances, output.static_importances):
        assert bool((weights > 0).all())
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(-1e4, 1e4), shift=st.floats(-1e4, 1e4), seed=st.integers(0, 1000))
def test_quantiles_never_cross(scale: float, shift: float, seed: int) -> None:
    """Q10 <= Q50 <= Q90 whatever the head's weights."""
    generator = torch.Generator().manual_seed(seed)
    head = QuantileHead(8, 5)
    with torch.no_grad():
        head.linear.weight.copy_(scale * torch.randn(5, 8, generator=generator))
        head.linear.bias.copy_(shift * torch.randn(5, generator=generator))
        quantiles = head(torch.randn(6, 4, 8, generator=generator))
    assert bool((quantiles.diff(dim=-1) >= 0).all())


def test_gradients_reach_every_parameter() -> None:
    """No block is cut off from the loss."""
    model = TFT(replace(TINY, dropout=0.1, lstm_layers=2))
    output = model(*random_tensors(8, TINY))
    (output.logits[:, 0].sum() + output.quantiles.square().sum()).backward()
    silent = [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


@pytest.mark.parametrize("part", ["static", "calendar", "oldest bar"])
def test_every_input_counts(part: str) -> None:
    """Static numbers, the calendar ahead and the oldest bar of the window all change the answer."""
    model, (windows, context) = TFT(TINY), random_tensors(4, TINY)
    changed_windows, changed_context = windows.clone(), context.clone()
    if part == "static":
        changed_context[:, : TINY.static] = 0.0
    elif part == "calendar":
        changed_context[:, TINY.static :] = 0.0
    else:
        changed_windows[:, 0] = 0.0
    before, after = answer(model, windows, context), answer(model, changed_windows, changed_context)
    assert not torch.allclose(before.logits, after.logits, atol=1e-6)


def test_horizons_see_no_later_calendar() -> None:
    """A horizon's quantiles depend on its own and earlier calendar only, in the order of the horizons."""
    model, (windows, context) = TFT(TINY), random_tensors(4, TINY)
    later = context.clone()
    later[:, -TINY.calendar :] += 1.0
    before, after = answer(model, windows, context), answer(model, windows, later)
    torch.testing.assert_close(before.quantiles[:, :-1], after.quantiles[:, :-1])
    assert not torch.allclose(before.quantiles[:, -1], after.quantiles[:, -1])


def test_rows_do_not_touch_each_other() -> None:
    """A row's answer is the same alone and in a batch."""
    model, (windows, context) = TFT(TINY), random_tensors(6, TINY)
    whole = answer(model, windows, context)
    alone = answer(model, windows[2:3], context[2:3])
    torch.testing.assert_close(alone.logits, whole.logits[2:3], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.embedding, whole.embedding[2:3], rtol=1e-5, atol=1e-5)


def test_overfits_a_few_rows() -> None:
    """64 rows of noise with random labels are learnt by heart within seconds."""
    model, (windows, context) = TFT(replace(TINY, hidden=32, lstm_hidden=32)), random_tensors(64, TINY)
    labels = torch.randint(0, 3, (64,))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimiser.zero_grad()
        functional.cross_entropy(model(windows, context).logits, labels).backward()
        optimiser.step()
    assert float((answer(model, windows, context).logits.argmax(-1) == labels).float().mean()) > 0.98


def test_bad_shapes_of_network_are_refused() -> None:
    """A config that no network can have is a `ConfigError` naming the field."""
    for change, word in (
        ({"heads": 3}, "heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"decision_horizon": 5}, "decision_horizon"),
        ({"quantiles": (0.5, 0.1, 0.9)}, "quantiles"),
    ):
        with pytest.raises(ConfigError, match=word):
            replace(TINY, **change)  # type: ignore[arg-type]


def _spikes(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with two spikes 10 to 40 bars ago: both in one feature (HOLD), or BUY and SELL by their order."""
    rng = np.random.default_rng(seed)
    windows = rng.standard_normal((rows, 60, 14)).astype(np.float32)
    early = rng.integers(11, 41, rows)
    late = rng.integers(10, early)
    label = rng.integers(0, 3, rows)
    first = np.where(label == Action.SELL, 0, 1)
    second = np.where(label == Action.HOLD, first, 1 - first)
    every = np.arange(rows)
    windows[every, 59 - early, first] += 4.0
    windows[every, 59 - late, second] += 4.0
    return torch.from_numpy(windows), torch.zeros(rows, TINY.context_size), torch.from_numpy(label)


def test_learns_the_order_of_events() -> None:
    """Which of two spikes came first, 10 to 40 bars ago, is learnt far beyond chance: that takes memory."""
    model = TFT(replace(TINY, hidden=32, lstm_hidden=32))
    windows, context, labels = _spikes(6_000, seed=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for start in 3 * tuple(range(0, 6_000, 64)):
        rows = slice(start, start + 64)
        optimiser.zero_grad()
        functional.cross_entropy(model(windows[rows], context[rows]).logits, labels[rows]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    windows, context, labels = _spikes(1_000, seed=2)
    answers = answer(model, windows, context).logits.argmax(-1)
    moved = labels != Action.HOLD
    assert float((answers[moved] == labels[moved]).float().mean()) > 0.75
