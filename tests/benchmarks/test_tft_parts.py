"""Shares of a step by part and by kind of operation."""

from __future__ import annotations

import pytest
import torch
from tft_peers.parts import OVERHEAD, REST, Section, breakdown, kind


class Model:
    """One part with a gradient, one without, one around the first."""

    def __init__(self) -> None:
        self.weight = torch.randn(64, 64, requires_grad=True)

    def product(self) -> torch.Tensor:
        """A product whose gradient is asked for."""
        return self.weight @ self.weight

    def outer(self) -> torch.Tensor:
        """The same and an ELU on it."""
        return torch.nn.functional.elu(self.product())

    def aside(self) -> torch.Tensor:
        """Numbers that nobody differentiates."""
        return torch.ones(64, 64).cumsum(0)


def step(model: Model) -> None:
    """Both passes."""
    model.aside()
    model.outer().sum().backward()


def test_the_backward_pass_belongs_to_the_part_that_made_it() -> None:
    """Parts with a gradient have a backward share, the one without has none; all add up to the whole."""
    model = Model()
    sections = [
        Section(part="product", owner=Model, method="product"),
        Section(part="outer", owner=Model, method="outer"),
        Section(part="aside", owner=Model, method="aside"),
    ]
    found = breakdown(lambda: step(model), sections, steps=2)
    shares = {each.part: each for each in found.parts}
    assert list(shares) == ["product", "outer", "aside", REST]
    assert all(each.forward > 0 for each in shares.values())
    assert shares["product"].backward > 0
    assert shares["outer"].backward > 0
    assert shares["aside"].backward == 0
    assert sum(each.forward + each.backward for each in found.parts) == pytest.approx(1.0)
    assert sum(found.kinds.values()) == pytest.approx(1.0)
    assert {"matrix products", "activations, softmax, norms"} <= set(found.kinds)


def test_methods_are_as_before_afterwards() -> None:
    """Marking the sections leaves nothing behind, whether a class had the method itself or inherited it."""

    class Child(Model):
        pass

    before = Model.product
    breakdown(lambda: step(Child()), [Section(part="product", owner=Child, method="product")], steps=1)
    assert Model.product is before
    assert "product" not in vars(Child)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("aten::baddbmm", "matrix products"),
        ("aten::mm", "matrix products"),
        ("aten::mul", "other arithmetic"),
        ("aten::mkldnn_rnn_layer_backward", "LSTM kernels"),
        ("aten::native_layer_norm_backward", "activations, softmax, norms"),
        ("aten::bernoulli_", "random numbers"),
        ("aten::_fused_adamw_", "optimiser"),
        ("aten::copy_", "copies and number formats"),
        ("aten::empty_strided", OVERHEAD),
        ("autograd::engine::evaluate_function: MmBackward0", OVERHEAD),
    ],
)
def test_kinds_of_operations(operation: str, expected: str) -> None:
    """Names of operations fall into a handful of kinds."""
    assert kind(operation) == expected
