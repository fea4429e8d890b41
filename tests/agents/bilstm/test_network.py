"""The network as a whole: shapes, attention, what reaches the answer, gradients, and that it can learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.bilstm.network import BiLSTM, BiLSTMLayer
from quantum_trader.agents.network import parameter_count
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError

from ..random_inputs import answer, random_tensors

TINY = bilstm_preset("tiny")


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
    for name, millions in (("paper", 2.57), ("small", 0.65), ("tiny", 0.01)):
        config = bilstm_preset(name)  # type: ignore[arg-type]
        model = BiLSTM(config)
        assert round(parameter_count(model) / 1e6, 2) == millions
        output = answer(model, *random_tensors(3, config))
        assert output.logits.shape == (3, len(Action))
        assert output.quantiles.shape == (3, len(config.horizons), 3)
        assert output.attention.shape == (3, 60)
        assert output.embedding.shape == (3, config.hidden)
        assert output.importances is None
        assert output.static_importances is None


def test_attention_is_a_share_and_quantiles_ascend() -> None:
    """Attention over the bars is positive and sums to 1; Q10 <= Q50 <= Q90."""
    output = answer(BiLSTM(TINY), *random_tensors(5, TINY))
    assert bool((output.attention > 0).all())
    torch.testing.assert_close(output.attention.sum(-1), torch.ones(5))
    assert bool((output.quantiles.diff(dim=-1) >= 0).all())


def test_gradients_reach_every_parameter() -> None:
    """No block is cut off from the loss."""
    model = BiLSTM(replace(TINY, dropout=0.1, layers=2))
    output = model(*random_tensors(8, TINY))
    (output.logits[:, 0].sum() + output.quantiles.square().sum()).backward()
    silent = [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


@pytest.mark.parametrize("part", ["static", "calendar", "oldest bar", "newest bar"])
def test_every_input_counts(part: str) -> None:
    """Static numbers, the calendar ahead, the oldest and the newest bar all change the decision."""
    model, (windows, context) = BiLSTM(TINY), random_tensors(4, TINY)
    changed_windows, changed_context = windows.clone(), context.clone()
    if part == "static":
        changed_context[:, : TINY.static] = 0.0
    elif part == "calendar":
        changed_context[:, TINY.static :] = 0.0
    else:
        changed_windows[:, 0 if part == "oldest bar" else -1] = 0.0
    before, after = answer(model, windows, context), answer(model, changed_windows, changed_context)
    assert not torch.allclose(before.logits, after.logits, atol=1e-6)


@pytest.mark.parametrize("horizon", range(len(TINY.horizons)))
def test_a_calendar_reaches_its_own_horizon_only(horizon: int) -> None:
    """Horizon h answers by the calendar of horizon h; the decision is read from the decision horizon."""
    model, (windows, context) = BiLSTM(TINY), random_tensors(4, TINY)
    first = TINY.static + horizon * TINY.calendar
    changed = context.clone()
    changed[:, first : first + TINY.calendar] += 1.0
    before, after = answer(model, windows, context), answer(model, windows, changed)
    moved = (before.quantiles - after.quantiles).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [index == horizon for index in range(len(TINY.horizons))]
    assert torch.equal(before.logits, after.logits) == (horizon != TINY.decision)


def test_rows_do_not_touch_each_other() -> None:
    """A row's answer is the same alone and in a batch."""
    model, (windows, context) = BiLSTM(TINY), random_tensors(6, TINY)
    whole = answer(model, windows, context)
    alone = answer(model, windows[2:3], context[2:3])
    torch.testing.assert_close(alone.logits, whole.logits[2:3], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.quantiles, whole.quantiles[2:3], rtol=1e-5, atol=1e-5)


def test_a_layer_reads_in_both_directions() -> None:
    """A change in mid-window reaches the steps before and after it, and starts from remembering."""
    layer = BiLSTMLayer(16, 0.0).eval()
    steps = torch.randn(1, 60, 16)
    changed = steps.clone()
    changed[0, 30] += 5.0
    with torch.inference_mode():
        moved = (layer(steps) - layer(changed)).abs().amax(dim=-1)[0]
    assert bool((moved[20:41] > 1e-6).all())
    for name, bias in layer.lstm.named_parameters():
        if name.startswith("bias_ih"):
            assert bool((bias.chunk(4)[1] == 1.0).all())


def test_dropout_draws_one_mask_for_all_bars() -> None:
    """With dropout a training pass differs from the next, and an evaluation pass does not."""
    model, inputs = BiLSTM(replace(TINY, dropout=0.5)), random_tensors(4, TINY)
    model.train()
    assert not torch.equal(model(*inputs).logits, model(*inputs).logits)
    masked = model.encoder.layers[0].dropout(torch.ones(2, 60, 32))
    assert bool((masked == masked[:, :1]).all())
    assert bool((masked == 0).any())
    torch.testing.assert_close(answer(model, *inputs).logits, answer(model, *inputs).logits)


def test_bad_shapes_of_network_are_refused() -> None:
    """A config that no network can have is a `ConfigError` naming the class and the field."""
    for change, word in (
        ({"heads": 3}, "heads"),
        ({"hidden": 33, "heads": 1}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"decision_horizon": 5}, "decision_horizon"),
        ({"quantiles": (0.5, 0.1, 0.9)}, "quantiles"),
    ):
        with pytest.raises(ConfigError, match=f"BiLSTMConfig: {word}"):
            replace(TINY, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Unknown BiLSTM preset 'huge'"):
        bilstm_preset("huge")  # type: ignore[arg-type]


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
    model = BiLSTM(replace(TINY, hidden=64))
    windows, context, labels = _spikes(6_000, seed=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
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
