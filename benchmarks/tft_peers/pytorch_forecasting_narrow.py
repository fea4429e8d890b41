"""pytorch-forecasting with 8 units for each real in variable selection, its default: a smaller network."""

from __future__ import annotations

from typing import Any

from tft_peers import network
from tft_peers.pytorch_forecasting import ForecastingNetwork
from tft_peers.task import Task

SINGLE_WIDTH = 8


def make(task: Task) -> ForecastingNetwork:
    """A network of the task's width otherwise."""
    return ForecastingNetwork(task, SINGLE_WIDTH)


def build(task: Task, case: str) -> network.Steps:
    """See `tft_peers.network.build`."""
    return network.build(make, task, case)


def facts(task: Task) -> dict[str, Any]:
    """See `tft_peers.network.facts`."""
    return network.facts(make, task)
