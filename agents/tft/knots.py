"""`KnotTable`: the GRNs of scalar variables evaluated on knots and interpolated in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from quantum_trader.agents.tft.table_sum import InterpolatedSum, interpolated_sum

REACH = 10.0
"""Knots cover [-REACH, REACH], inside which scaled features are clipped; what is beyond counts as its end."""
_BEND = 2.0
"""Knots are evenly spaced in x / (_BEND + |x|): dense around 0, where most scaled values lie."""


class ScalarMaps(Protocol):
    """V maps from a scalar to a vector of D numbers."""

    @property
    def scale(self) -> Tensor:
        """[V, 1, D]"""
        ...

    @property
    def shift(self) -> Tensor:
        """[V, 1, D]"""
        ...

    def __call__(self, values: Tensor) -> Tensor:
        """[1, K, V] -> [V, K, D], to be multiplied by `scale` and moved by `shift`."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that the maps depend on."""
        ...


class KnotTable(nn.Module):
    """Weighted sums of maps from scalars to vectors, by linear interpolation between knots.

    A GRN of one scalar is a curve from R to R^D. With K knots its V curves cost V * K evaluations, whatever
    the number of scalars: a training batch of 128 windows has 60 times more scalars than 128 knots. Reading
    the curves and mixing them is then one weighted sum of table rows. Training goes through the table, so the
    network that is trained, validated and served is one and the same piecewise linear function; dropout hits
    each knot on its own.

    Outside training the table is kept until a parameter changes.
    """

    grid: Tensor
    first_row: Tensor

    def __init__(self, maps: ScalarMaps, knots: int) -> None:
        super().__init__()
        # Not a child module: the maps' parameters belong to whoever owns them.
        self._maps = (maps,)
        self.knots = knots
        variables = maps.scale.shape[0]
        end = REACH / (_BEND + REACH)
        even = torch.linspace(-end, end, knots, dtype=torch.float64)
        grid = (_BEND * even / (1.0 - even.abs())).float()
        self.register_buffer("grid", grid.view(1, knots, 1).repeat(1, 1, variables), persistent=False)
        self.register_buffer("first_row", torch.arange(variables) * knots, persistent=False)
        self._intervals = (knots - 1) / (2.0 * end)
        self._kept: tuple[object, Tensor] | None = None

    def forward(self, values: Tensor, shares: Tensor) -> Tensor:
        """Scalars [N, V] and their shares [N, V] -> sum over v of share_v * curve_v(value_v), float32 [N, D].

        A row with a scalar that is NaN or infinite gives NaN.
        """
        position = values / (values.abs() + _BEND) * self._intervals + (self.knots - 1) / 2.0
        position = position.clamp(0.0, self.knots - 1.001)
        below = position.floor()
        # A number that is none must not become a row; its fraction carries it into the sum.
        row = below.nan_to_num().long() + self.first_row
        table, fraction = self.rows(), position - below
        if self.training and table.device.type == "cpu" and not fraction.requires_grad:
            mixed: Tensor = InterpolatedSum.apply(table, row, shares, fraction)  # type: ignore[no-untyped-call]
            return mixed
        return interpolated_sum(table, row, shares, fraction)

    def rows(self) -> Tensor:
        """float32 [V * K, D]: every curve at every knot."""
        if self.training or torch.is_grad_enabled():
            return self._computed()
        (maps,) = self._maps
        state = [(parameter.data_ptr(), parameter._version) for parameter in maps.parameters()]
        key = (tuple(state), torch.is_autocast_enabled(self.grid.device.type))
        kept = self._kept
        # Read once: another thread may keep the table of another precision in the meantime.
        if kept is None or kept[0] != key:
            kept = self._kept = (key, self._computed())
        return kept[1]

    def _computed(self) -> Tensor:
        (maps,) = self._maps
        normed = maps(self.grid)
        return (normed.float() * maps.scale + maps.shift).flatten(0, 1)
