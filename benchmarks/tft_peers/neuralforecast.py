"""neuralforecast: `TFT`.

The target's own past is always an input, so 13 of the features and the target make the 14 observed reals.
The 4 calendar reals go into the window as well as behind it. Its LSTMs read forward only. Variable selection
is as wide as the rest and has a wide network for its shares besides, which no setting narrows: at the same
width it has half as many weights again. `predict` is the model's, on a prepared dataset: the pandas work of
`NeuralForecast` is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import TFT
from neuralforecast.tsdataset import TimeSeriesDataset
from torch import Tensor

from tft_peers import network
from tft_peers.cases import Precision
from tft_peers.lightning import quiet, trainer_options
from tft_peers.task import Task


class NixtlaNetwork:
    """The network at the task's width."""

    def __init__(self, task: Task) -> None:
        quiet()
        self._task = task
        self.module = self._network(task, "fp32")

    def batch(self, size: int, seed: int) -> dict[str, Tensor]:
        """Inputs by its own names, and the targets."""
        stretch, window = self._task.stretch(size, seed), self._task.window
        arrays = {
            "insample_y": stretch.target[:, :window, None],
            "insample_mask": np.ones((size, window, 1), dtype=np.float32),
            "hist_exog": stretch.features[:, :window, :-1],
            "futr_exog": stretch.known,
            "stat_exog": stretch.static,
            "outsample_y": stretch.target[:, window:, None],
        }
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def answer(self, batch: dict[str, Tensor]) -> Any:
        """The forward pass."""
        return self.module.loss.domain_map(self.module(batch))

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Forward pass and quantile loss."""
        target = batch["outsample_y"]
        loss: Tensor = self.module.loss(
            y=target, y_hat=self.answer(batch), y_insample=batch["insample_y"], mask=torch.ones_like(target)
        )
        return loss

    def predictor(self, size: int, precision: Precision) -> Callable[[], Any]:
        """The model's `predict`."""
        # The number format is fixed when it is built; the weights do not matter here.
        module, dataset = self._network(self._task, precision), self._dataset(size)
        module.set_test_size(self._task.horizons)
        return lambda: module.predict(dataset)

    def _network(self, task: Task, precision: Precision) -> TFT:
        names = _names(task)
        return TFT(
            h=task.horizons,
            input_size=task.window,
            hist_exog_list=names["observed"],
            futr_exog_list=names["known"],
            stat_exog_list=names["static"],
            hidden_size=task.hidden,
            n_head=task.heads,
            n_rnn_layers=task.lstm_layers,
            one_rnn_initial_state=True,
            dropout=task.dropout,
            loss=MQLoss(quantiles=task.quantiles.tolist()),
            scaler_type="identity",
            **trainer_options(precision),
        )

    def _dataset(self, size: int) -> TimeSeriesDataset:
        stretch, names = self._task.stretch(size), _names(self._task)
        length = self._task.window + self._task.horizons
        tables = {"observed": stretch.features[..., :-1], "known": stretch.known}
        series = np.arange(size)
        frame = pd.DataFrame(
            {
                "unique_id": np.repeat(series, length),
                "ds": np.tile(np.arange(length), size),
                "y": stretch.target.reshape(-1),
                **{
                    name: tables[kind][..., column].reshape(-1)
                    for kind in tables
                    for column, name in enumerate(names[kind])
                },
            }
        )
        static = pd.DataFrame(stretch.static, columns=names["static"]).assign(unique_id=series)
        dataset, *_ = TimeSeriesDataset.from_df(frame, static)
        return dataset


def build(task: Task, case: str) -> network.Steps:
    """See `tft_peers.network.build`."""
    return network.build(NixtlaNetwork, task, case)


def facts(task: Task) -> dict[str, Any]:
    """See `tft_peers.network.facts`."""
    return network.facts(NixtlaNetwork, task)


def _names(task: Task) -> dict[str, list[str]]:
    counts = {
        "observed": task.features.shape[1] - 1,
        "known": task.known.shape[1],
        "static": task.static.shape[1],
    }
    return {kind: [f"{kind}_{column}" for column in range(number)] for kind, number in counts.items()}
