"""pytorch-forecasting: `TemporalFusionTransformer`, built and fed by its own `TimeSeriesDataSet`.

All inputs fit: 14 reals observed in the past, 6 static reals, 4 calendar reals for the decoder only, as here.
Its LSTMs read forward only, and its variable selection has a width of its own for single reals: with 100 the
network comes to the same number of weights. `mask_bias` is what its documentation asks for in bfloat16.
`predict` gets a prepared data loader, so that its pandas work is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.metrics import QuantileLoss
from torch import Tensor

from tft_peers import network
from tft_peers.cases import Precision
from tft_peers.lightning import quiet, trainer_options
from tft_peers.task import Task

SINGLE_WIDTH = 100


class ForecastingNetwork:
    """The network with `single_width` units for each real."""

    def __init__(self, task: Task, single_width: int) -> None:
        quiet()
        self._task = task
        self._series = _dataset(task, size=2, seed=0)
        self.module = TemporalFusionTransformer.from_dataset(
            self._series,
            allowed_encoder_known_variable_names=[],
            hidden_size=task.hidden,
            hidden_continuous_size=single_width,
            attention_head_size=task.heads,
            lstm_layers=task.lstm_layers,
            dropout=task.dropout,
            output_size=len(task.quantiles),
            loss=QuantileLoss(task.quantiles.tolist()),
            mask_bias=-float("inf"),
        )

    def batch(self, size: int, seed: int) -> tuple[dict[str, Tensor], Any]:
        """Inputs and targets."""
        return next(iter(self._loader(size, seed)))

    def answer(self, batch: tuple[dict[str, Tensor], Any]) -> Any:
        """The forward pass."""
        return self.module(batch[0])

    def loss(self, batch: tuple[dict[str, Tensor], Any]) -> Tensor:
        """Forward pass and quantile loss."""
        inputs, targets = batch
        loss: Tensor = self.module.loss(self.module(inputs)["prediction"], targets)
        return loss

    def predictor(self, size: int, precision: Precision) -> Callable[[], Any]:
        """`predict` with quantiles."""
        loader, options = self._loader(size, 0), trainer_options(precision)
        return lambda: self.module.predict(loader, mode="quantiles", trainer_kwargs=options)

    def _loader(self, size: int, seed: int) -> Any:
        return _dataset(self._task, size, seed).to_dataloader(train=False, batch_size=size, num_workers=0)


def make(task: Task) -> ForecastingNetwork:
    """A network of the task's size."""
    return ForecastingNetwork(task, SINGLE_WIDTH)


def build(task: Task, case: str) -> network.Steps:
    """See `tft_peers.network.build`."""
    return network.build(make, task, case)


def facts(task: Task) -> dict[str, Any]:
    """See `tft_peers.network.facts`."""
    return network.facts(make, task)


def _dataset(task: Task, size: int, seed: int) -> TimeSeriesDataSet:
    """`size` series of one window each."""
    stretch = task.stretch(size, seed)
    length = task.window + task.horizons
    static = np.repeat(stretch.static, length, axis=0)
    columns = {
        **_named("observed", stretch.features.reshape(size * length, -1)),
        **_named("known", stretch.known.reshape(size * length, -1)),
        **_named("static", static),
    }
    frame = pd.DataFrame(
        {
            **columns,
            "target": stretch.target.reshape(-1),
            "series": np.repeat(np.arange(size), length).astype(str),
            "time": np.tile(np.arange(length), size),
        }
    )
    of = {
        kind: [name for name in columns if name.startswith(kind)] for kind in ("observed", "known", "static")
    }
    return TimeSeriesDataSet(
        frame,
        time_idx="time",
        target="target",
        group_ids=["series"],
        min_encoder_length=task.window,
        max_encoder_length=task.window,
        min_prediction_length=task.horizons,
        max_prediction_length=task.horizons,
        static_reals=of["static"],
        time_varying_known_reals=of["known"],
        time_varying_unknown_reals=of["observed"],
        target_normalizer=None,
        scalers=dict.fromkeys(columns),
    )


def _named(kind: str, table: Any) -> dict[str, Any]:
    return {f"{kind}_{column}": table[:, column] for column in range(table.shape[1])}
