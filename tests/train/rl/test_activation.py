"""Tanh by way of the sigmoid."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck

from quantum_trader.train.rl.activation import SigmoidTanh


def test_it_is_tanh() -> None:
    """Values agree with tanh within 3e-7 from the smallest to the largest inputs, and so do gradients."""
    inputs = torch.cat([torch.linspace(-30, 30, 4001), torch.logspace(-8, 0, 200)]).requires_grad_()
    other = inputs.detach().clone().requires_grad_()
    found, expected = SigmoidTanh()(inputs), torch.tanh(other)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-7)
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(inputs.grad, other.grad, rtol=0, atol=1e-6)


def test_its_gradient_is_right() -> None:
    """The gradient agrees with finite differences in double precision."""
    inputs = torch.randn(20, dtype=torch.float64, requires_grad=True)
    assert gradcheck(SigmoidTanh(), (inputs,))
