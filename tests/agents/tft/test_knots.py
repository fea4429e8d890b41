"""Curves read from a table of knots: exact at the knots, close in between, trained through, never stale."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from quantum_trader.agents.tft.knots import REACH, KnotTable
from quantum_trader.agents.tft.selection import ScalarGRNs, VariableSelection

VARIABLES, HIDDEN = 3, 8


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _grns() -> ScalarGRNs:
    grns = ScalarGRNs(VARIABLES, HIDDEN, dropout=0.0)
    with torch.no_grad():
        grns.scale.normal_()
        grns.shift.normal_()
    return grns


def _exactly(grns: ScalarGRNs, values: Tensor, shares: Tensor) -> Tensor:
    """[N, V] and [N, V] -> the weighted sum of the curves themselves, [N, D]."""
    curves = grns(values.unsqueeze(0)) * grns.scale + grns.shift
    return torch.einsum("nv,vnd->nd", shares, curves)


def _shares(rows: int) -> Tensor:
    return torch.softmax(torch.randn(rows, VARIABLES), dim=-1)


def test_exact_at_the_knots() -> None:
    """Scalars that lie on knots get the GRNs' own outputs."""
    grns = _grns()
    table = KnotTable(grns, 17)
    values, shares = table.grid[0], _shares(17)
    torch.testing.assert_close(table(values, shares), _exactly(grns, values, shares), rtol=1e-4, atol=1e-4)


def test_error_falls_with_the_square_of_the_spacing() -> None:
    """Four times the knots leave less than an eighth of the mean error, which is small already."""
    grns, shares = _grns(), _shares(4000)
    values = 2.0 * torch.randn(4000, VARIABLES)
    expected = _exactly(grns, values, shares)
    coarse, fine = (
        float((KnotTable(grns, knots)(values, shares) - expected).abs().mean().detach())
        for knots in (32, 128)
    )
    assert fine < coarse / 8
    assert fine < 1e-3


def test_scalars_may_have_gradients_too() -> None:
    """Saliency by the inputs goes through the table as well: the slope between two knots."""
    grns = _grns()
    table, shares = KnotTable(grns, 9), _shares(5)
    values = torch.randn(5, VARIABLES)
    step = torch.zeros(5, VARIABLES)
    step[:, 0] = 1e-3
    moving = values.clone().requires_grad_()
    table(moving, shares).sum().backward()
    assert moving.grad is not None
    slopes = (table(values + step, shares) - table(values - step, shares)).sum(dim=1) / 2e-3
    torch.testing.assert_close(moving.grad[:, 0], slopes.detach(), rtol=0.02, atol=0.02)


def test_beyond_reach_counts_as_its_end() -> None:
    """Values outside the knots read the outermost knot."""
    table, shares = KnotTable(_grns(), 16), _shares(2)
    far = torch.tensor([[50.0] * VARIABLES, [-1e6] * VARIABLES])
    ends = torch.tensor([[REACH] * VARIABLES, [-REACH] * VARIABLES])
    torch.testing.assert_close(table(far, shares), table(ends, shares), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_stays_none(bad: float) -> None:
    """A row with a NaN or infinite scalar gives NaN; the rows beside it do not notice."""
    table, values = KnotTable(_grns(), 16), torch.zeros(2, VARIABLES)
    values[0, 1] = bad
    mixed = table(values, _shares(2))
    assert bool(mixed[0].isnan().all())
    assert bool(mixed[1].isfinite().all())


@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_those_of_the_interpolation(training: bool) -> None:
    """In training and outside, gradients are those of an interpolation written out."""
    grns = _grns()
    table = KnotTable(grns, 9).train(training)
    values, shares = 2.0 * torch.randn(6, VARIABLES), _shares(6).requires_grad_()
    table(values, shares).square().sum().backward()
    found = [shares.grad, *(weight.grad for weight in grns.parameters())]
    shares.grad = None
    grns.zero_grad()
    _written_out(table, grns, values, shares).square().sum().backward()
    expected = [shares.grad, *(weight.grad for weight in grns.parameters())]
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def _written_out(table: KnotTable, grns: ScalarGRNs, values: Tensor, shares: Tensor) -> Tensor:
    curves = grns(table.grid) * grns.scale + grns.shift
    sums = []
    for row in range(len(values)):
        total = torch.zeros(HIDDEN)
        for v in range(VARIABLES):
            grid = table.grid[0, :, v].contiguous()
            above = int(torch.searchsorted(grid, values[row, v]).clamp(1, len(grid) - 1))
            bend = 2.0
            place = [float(x / (x.abs() + bend)) for x in (values[row, v], grid[above - 1], grid[above])]
            share = (place[0] - place[1]) / (place[2] - place[1])
            mixed = (1.0 - share) * curves[v, above - 1] + share * curves[v, above]
            total = total + shares[row, v] * mixed
        sums.append(total)
    return torch.stack(sums)


def test_a_kept_table_follows_its_parameters() -> None:
    """Outside training the table is computed once, and again after any parameter changed in place."""
    selection = VariableSelection(VARIABLES, HIDDEN, dropout=0.1, knots=16).eval()
    assert selection.table is not None
    with torch.inference_mode():
        before = selection.table.rows()
        assert selection.table.rows() is before
    with torch.no_grad():
        selection.grns.shift += 1.0
    with torch.inference_mode():
        torch.testing.assert_close(selection.table.rows(), before + 1.0)


def test_a_copied_network_reads_its_own_curves() -> None:
    """A deep copy interpolates the copied GRNs, not the original's."""
    selection = VariableSelection(VARIABLES, HIDDEN, dropout=0.0, knots=16).eval()
    twin = copy.deepcopy(selection)
    with torch.no_grad():
        twin.grns.shift += 1.0
        values = torch.randn(1, 4, VARIABLES)
        torch.testing.assert_close(twin(values).features, selection(values).features + 1.0)


def test_the_table_adds_no_weights() -> None:
    """Weights trained through a table load into the exact network and the other way round."""
    exact = VariableSelection(VARIABLES, HIDDEN, dropout=0.0)
    through_table = VariableSelection(VARIABLES, HIDDEN, dropout=0.0, knots=16)
    assert list(exact.state_dict()) == list(through_table.state_dict())
