"""The folded blocks are the paper's blocks: identities, no approximation."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from quantum_trader.agents.tft.attention import InterpretableAttention
from quantum_trader.agents.tft.blocks import GRN, SequenceDropout
from quantum_trader.agents.tft.init import FORGET_BIAS, init_lstm
from quantum_trader.agents.tft.selection import VariableSelection


def _load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tft_reference", Path(__file__).with_name("reference.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


reference = _load_reference()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _copy(target: Tensor, source: Tensor) -> None:
    with torch.no_grad():
        target.copy_(source)


def _fold_grn(fast: GRN, slow: nn.Module, first: Tensor, bias: Tensor, skip: nn.Linear | None) -> None:
    _copy(fast.first.weight, first)
    _copy(fast.first.bias, bias)
    if fast.context is not None:
        _copy(fast.context.weight, slow.context.weight)
    weight, gate_bias = slow.gate_kernel()
    _copy(fast.gate.linear.weight, weight)
    _copy(fast.gate.linear.bias, gate_bias)
    fast.norm.load_state_dict(slow.norm.state_dict())
    if skip is not None:
        fast.skip.load_state_dict(skip.state_dict())


def test_grn_equals_textbook() -> None:
    """A GRN with its second layer folded into the gate gives the textbook GRN's numbers."""
    slow = reference.TextbookGRN(12, 16, 8, context=5)
    fast = GRN(12, 16, 8, dropout=0.0, context=5)
    _fold_grn(fast, slow, slow.eta2.weight, slow.eta2.bias, slow.skip)
    inputs, context = torch.randn(3, 7, 12), torch.randn(3, 5)
    expected = slow(inputs, context.unsqueeze(1).expand(-1, 7, -1))
    torch.testing.assert_close(fast(inputs, context), expected, rtol=1e-5, atol=1e-5)


def test_variable_selection_equals_textbook() -> None:
    """Selection on scalars, all GRNs in one product, gives the numbers of embeddings and separate GRNs."""
    variables, hidden, context_size = 14, 16, 6
    slow = reference.TextbookSelection(variables, hidden, context_size)
    fast = VariableSelection(variables, hidden, dropout=0.0, context=context_size)
    _fold_selection(fast, slow, hidden)
    values, context = 3.0 * torch.randn(4, 9, variables), torch.randn(4, context_size)
    features, weights = slow(values, context)
    selected = fast(values, context)
    torch.testing.assert_close(selected.weights, weights, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(selected.features, features, rtol=1e-5, atol=1e-5)


def _fold_selection(fast: VariableSelection, slow: nn.Module, hidden: int) -> None:
    slopes, offsets, skips = [], slow.weigh.eta2.bias.clone(), slow.weigh.skip.bias.clone()
    skip_slopes = []
    for v, (embedding, grn) in enumerate(zip(slow.embeddings, slow.grns, strict=True)):
        slope, offset = embedding.weight[:, 0], embedding.bias
        _copy(fast.grns.first[v, 0], grn.eta2.weight @ slope)
        _copy(fast.grns.first[v, 1], grn.eta2.weight @ offset + grn.eta2.bias)
        _copy(fast.grns.skip[v, 0], slope)
        _copy(fast.grns.skip[v, 1], offset)
        weight, bias = grn.gate_kernel()
        _copy(fast.grns.gate[v], weight.T)
        _copy(fast.grns.gate_bias[v, 0], bias)
        _copy(fast.grns.scale[v, 0], grn.norm.weight)
        _copy(fast.grns.shift[v, 0], grn.norm.bias)
        columns = slice(v * hidden, (v + 1) * hidden)
        slopes.append(slow.weigh.eta2.weight[:, columns] @ slope)
        offsets = offsets + slow.weigh.eta2.weight[:, columns] @ offset
        skip_slopes.append(slow.weigh.skip.weight[:, columns] @ slope)
        skips = skips + slow.weigh.skip.weight[:, columns] @ offset
    assert isinstance(fast.weigh.skip, nn.Linear)
    _copy(fast.weigh.skip.weight, torch.stack(skip_slopes, dim=1))
    _copy(fast.weigh.skip.bias, skips)
    _fold_grn(fast.weigh, slow.weigh, torch.stack(slopes, dim=1), offsets, None)


def test_attention_equals_textbook() -> None:
    """Folded keys and late value projection give the textbook's output and weights."""
    hidden, heads, steps = 24, 4, 11
    slow, fast = reference.TextbookAttention(hidden, heads), InterpretableAttention(hidden, heads, 0.0)
    _copy(fast.query.weight, torch.cat([layer.weight for layer in slow.queries]))
    _copy(fast.query.bias, torch.cat([layer.bias for layer in slow.queries]))
    _copy(fast.key.weight, torch.cat([layer.weight for layer in slow.keys]))
    fast.value.load_state_dict(slow.value.state_dict())
    fast.out.load_state_dict(slow.out.state_dict())
    inputs = torch.randn(2, steps, hidden)
    mask = torch.full((steps, steps), float("-inf")).triu(diagonal=1)
    features, weights = slow(inputs, mask)
    attended = fast(inputs[:, -3:], inputs, mask[-3:])
    torch.testing.assert_close(attended.features, features[:, -3:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attended.weights, weights[:, -3:], rtol=1e-5, atol=1e-5)


def test_sequence_dropout_shares_one_mask() -> None:
    """Dropout switches a unit off for all steps of a row, keeps the mean, and is absent in evaluation."""
    layer = SequenceDropout(0.25)
    dropped = layer(torch.ones(200, 6, 50))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)
    assert layer.eval()(dropped) is dropped


def test_lstm_starts_out_remembering() -> None:
    """Recurrent kernels start orthogonal gate by gate, forget biases at 1 and all other biases at 0."""
    lstm = nn.LSTM(5, 8, 2, bidirectional=True)
    init_lstm(lstm)
    for gate in lstm.weight_hh_l1_reverse.chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), rtol=0, atol=1e-5)
    total = lstm.bias_ih_l0 + lstm.bias_hh_l0
    expected = torch.zeros(32)
    expected[8:16] = FORGET_BIAS
    assert torch.equal(total, expected)
