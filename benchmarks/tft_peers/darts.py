"""darts: `TFTModel`, its port of pytorch-forecasting's.

The target's own past is always an input, so 13 of the features and the target make the 14 observed reals. The
4 calendar reals go into the window as well as behind it. Its LSTMs read forward only. Single reals have a
width of their own in variable selection: with 90 the network comes to the same number of weights. One step of
`fit` builds the network. `predict` gets prepared `TimeSeries` and answers quantiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from darts import TimeSeries
from darts.models import TFTModel
from darts.utils.data.torch_datasets.utils import TorchTrainingBatch
from darts.utils.likelihood_models.torch import QuantileRegression
from torch import Tensor

from tft_peers import network
from tft_peers.cases import Precision
from tft_peers.lightning import quiet, trainer_options
from tft_peers.task import Task

SINGLE_WIDTH = 90


class DartsNetwork:
    """The network at the task's width."""

    def __init__(self, task: Task) -> None:
        quiet()
        self._task = task
        self.module = self._fitted("fp32").model

    def batch(self, size: int, seed: int) -> TorchTrainingBatch:
        """Inputs and targets, as its loader collates them."""
        stretch, window = self._task.stretch(size, seed), self._task.window
        arrays = {
            "past_target": stretch.target[:, :window, None],
            "past_covariates": stretch.features[:, :window, :-1],
            "historic_future_covariates": stretch.known[:, :window],
            "future_covariates": stretch.known[:, window:],
            "static_covariates": stretch.static[:, None],
            "future_target": stretch.target[:, window:, None],
        }
        return TorchTrainingBatch(
            **{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        )

    def answer(self, batch: TorchTrainingBatch) -> Any:
        """The forward pass."""
        return self.module(batch.to_module_input())

    def loss(self, batch: TorchTrainingBatch) -> Tensor:
        """Forward pass and quantile loss."""
        loss: Tensor = self.module.likelihood.compute_loss(
            self.answer(batch).prediction, batch.future_target, None
        )
        return loss

    def predictor(self, size: int, precision: Precision) -> Callable[[], Any]:
        """`predict` with quantiles."""
        model, arguments = self._fitted(precision), _series(self._task, size, bars=self._task.window)
        return lambda: model.predict(
            self._task.horizons,
            **arguments,
            batch_size=size,
            predict_likelihood_parameters=True,
            verbose=False,
        )

    def _fitted(self, precision: Precision) -> TFTModel:
        task = self._task
        model = TFTModel(
            task.window,
            task.horizons,
            hidden_size=task.hidden,
            hidden_continuous_size=SINGLE_WIDTH,
            num_attention_heads=task.heads,
            lstm_layers=task.lstm_layers,
            dropout=task.dropout,
            likelihood=QuantileRegression(task.quantiles.tolist()),
            batch_size=2,
            n_epochs=1,
            pl_trainer_kwargs=trainer_options(precision),
        )
        model.fit(**_series(task, size=2, bars=task.window + task.horizons))
        return model


def build(task: Task, case: str) -> network.Steps:
    """See `tft_peers.network.build`."""
    return network.build(DartsNetwork, task, case)


def facts(task: Task) -> dict[str, Any]:
    """See `tft_peers.network.facts`."""
    return network.facts(DartsNetwork, task)


def _series(task: Task, size: int, bars: int) -> dict[str, list[TimeSeries]]:
    """Series of so many bars by the names of its arguments; the calendar is known beyond them."""
    stretch = task.stretch(size)
    tables = {"past_covariates": stretch.features[:, :bars, :-1], "future_covariates": stretch.known}
    targets = [
        TimeSeries.from_values(values[:, None], static_covariates=pd.DataFrame(static[None]))
        for values, static in zip(stretch.target[:, :bars], stretch.static, strict=True)
    ]
    covariates = {
        name: [TimeSeries.from_values(np.ascontiguousarray(values)) for values in table]
        for name, table in tables.items()
    }
    return {"series": targets, **covariates}
