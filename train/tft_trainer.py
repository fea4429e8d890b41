"""`TFTTrainer`: the training loop, from which it can be cut off and go on to the same numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.model import TFT, TFTOutput
from quantum_trader.agents.tft.precision import autocast, use_bf16
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.errors import TrainingError
from quantum_trader.train.checkpoint import read_checkpoint, write_checkpoint
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.ema import WeightAverage
from quantum_trader.train.interrupt import HeldInterrupt
from quantum_trader.train.memory import explained_memory_errors
from quantum_trader.train.progress import Progress
from quantum_trader.train.tft_config import TFTTrainConfig
from quantum_trader.train.tft_figures import EpochReport, Explained, Figures, Tally
from quantum_trader.train.tft_log import TFTLog
from quantum_trader.train.tft_loss import Targets, TFTLoss
from quantum_trader.train.tft_optimiser import Optimiser

Rows = NDArray[np.int64]

_VALIDATION_BATCH = 512
_BATCHES_BETWEEN_SCALARS = 20


class TFTTrainer:
    """Fits a TFT on `train`, keeps the averaged weights that do best on `validation`.

    Args:
        train, validation: the rows.
        model: shape of the network.
        config: how to fit it.
        class_weights: the factor of HOLD, BUY, SELL in the loss.
        return_scale: unit of the returns that quantiles are fitted to.
        checkpoint: file to write checkpoints to and to resume from.
        config_sha256: hash of everything that decides the result; a checkpoint of another is refused.
    """

    def __init__(
        self,
        train: PooledDataset,
        validation: PooledDataset,
        *,
        model: TFTConfig,
        config: TFTTrainConfig,
        class_weights: tuple[float, ...],
        return_scale: ReturnScale,
        checkpoint: Path,
        config_sha256: str,
    ) -> None:
        self._train, self._validation = train, validation
        self._config, self._scale = config, return_scale
        self._checkpoint, self._sha256 = checkpoint, config_sha256
        self._bf16 = use_bf16(config.precision)
        wanted = config.samples_per_epoch or len(train)
        self._batches = max(min(wanted, len(train)) // config.batch_size, 1)
        self.model = TFT(model)
        self.average = WeightAverage(self.model, config.ema_decay)
        steps = math.ceil(self._batches / config.accumulate)
        self._optimiser = Optimiser(self.model, config, steps_per_epoch=steps)
        self._loss = TFTLoss(
            quantiles=model.quantiles,
            class_weights=class_weights,
            quantile_weight=config.quantile_weight,
            label_smoothing=config.label_smoothing,
        )
        self.epoch, self._batch, self._stale = 0, 0, 0
        self.best_epoch, self.best_loss = 0, math.inf
        self._best_weights: dict[str, Any] = self.average.model.state_dict()
        self._tally = Tally()
        self._resume()

    @property
    def step(self) -> int:
        """Batches done since the very beginning."""
        return self.epoch * self._batches + self._batch

    def run(
        self, log: TFTLog, interrupt: HeldInterrupt, on_epoch: Callable[[EpochReport], None] | None = None
    ) -> TFT:
        """Train until the epochs or the patience end; returns the network with the best weights.

        Raises:
            TrainingError: the loss or a gradient is not finite, or memory ran out.
            KeyboardInterrupt: Ctrl-C; a checkpoint has been written and the next run goes on from it.
        """
        while self.epoch < self._config.epochs and self._stale < self._config.patience:
            speed = self._train_epoch(log, interrupt)
            validation, explained = self._validate(interrupt)
            report = self._end_epoch(validation, speed)
            log.epoch(self.step, report, explained)
            if on_epoch is not None:
                on_epoch(report)
        best = self.average.model
        best.load_state_dict(self._best_weights)
        return best

    def _train_epoch(self, log: TFTLog, interrupt: HeldInterrupt) -> float:
        """The rest of the epoch; returns samples per second."""
        config = self._config
        rows = epoch_rows(len(self._train), seed=config.seed, epoch=self.epoch)
        name = f"tft epoch {self.epoch + 1}/{config.epochs}"
        total = self._batches * config.batch_size
        self.model.train()
        begun, before = time.perf_counter(), self._tally.rows
        with Progress(name, total=total, unit="samples", start=before) as progress:
            while self._batch < self._batches:
                start = self._batch * config.batch_size
                self._train_batch(rows[start : start + config.batch_size])
                figures = self._tally.figures()
                shown = {"loss": figures.loss, "accuracy": figures.accuracy}
                progress.update(self._tally.rows, shown)
                if self.step % _BATCHES_BETWEEN_SCALARS == 0:
                    extra = {"lr": self._optimiser.learning_rate, "samples_per_second": progress.rate}
                    log.batch(self.step, shown | extra)
                self._pause(interrupt)
        seconds = time.perf_counter() - begun
        return (self._tally.rows - before) / seconds if seconds > 0 else 0.0

    def _train_batch(self, rows: Rows) -> None:
        config = self._config
        where = f"epoch {self.epoch + 1}, batch {self._batch + 1}"
        remedy = (
            f"lower batch_size (now {config.batch_size}; accumulate makes up for it) or take a smaller preset"
        )
        with explained_memory_errors(remedy):
            output, targets = self._forward(self.model, self._train, rows)
            loss = self._loss(output, targets)
            if not math.isfinite(float(loss.total.detach())):
                raise TrainingError(
                    f"The loss is {float(loss.total.detach())} in {where}: look for infinite values in the "
                    f"data, or lower learning_rate (now {self._optimiser.learning_rate:g})."
                )
            (loss.total / config.accumulate).backward()  # type: ignore[no-untyped-call]
        self._tally.add(loss, output, targets)
        self._batch += 1
        if self._at_step:
            self._optimiser.step(where)
            self.average.update()

    @property
    def _at_step(self) -> bool:
        """Whether no gradient of a batch is waiting for more batches."""
        return self._batch % self._config.accumulate == 0 or self._batch == self._batches

    def _forward(self, model: TFT, dataset: PooledDataset, rows: Rows) -> tuple[TFTOutput, Targets]:
        batch = dataset.batch(rows)
        with autocast(self._bf16):
            output = model(torch.from_numpy(batch.windows), torch.from_numpy(batch.context))
        targets = Targets(
            action=torch.from_numpy(batch.action),
            returns=torch.from_numpy(batch.returns / self._scale.of(batch.windows)),
            weight=torch.from_numpy(batch.weight),
        )
        return output, targets

    def _validate(self, interrupt: HeldInterrupt) -> tuple[Figures, Explained]:
        """Figures of the averaged weights; nothing here draws random numbers."""
        tally, attention, importances = Tally(), [], []
        remedy = "take a smaller preset"
        with torch.inference_mode(), explained_memory_errors(remedy):
            for start in range(0, len(self._validation), _VALIDATION_BATCH):
                rows = np.arange(start, min(start + _VALIDATION_BATCH, len(self._validation)))
                output, targets = self._forward(self.average.model, self._validation, rows)
                tally.add(self._loss(output, targets), output, targets)
                attention.append(output.attention)
                importances.append(output.importances.mean(dim=1))
                if interrupt.requested:
                    self._stop()
        return tally.figures(), Explained.of(attention, importances)

    def _end_epoch(self, validation: Figures, speed: float) -> EpochReport:
        if not math.isfinite(validation.loss):
            raise TrainingError(
                f"The validation loss is {validation.loss} after epoch {self.epoch + 1}: look for infinite "
                f"values in the data, or lower learning_rate (now {self._optimiser.learning_rate:g})."
            )
        better = validation.loss < self.best_loss
        self._stale = 0 if better else self._stale + 1
        if better:
            self.best_loss, self.best_epoch = validation.loss, self.epoch + 1
            state = self.average.model.state_dict()
            self._best_weights = {name: tensor.clone() for name, tensor in state.items()}
        report = EpochReport(
            epoch=self.epoch + 1,
            train=self._tally.figures(),
            validation=validation,
            learning_rate=self._optimiser.learning_rate,
            samples_per_second=speed,
            best=better,
        )
        self._optimiser.end_epoch(validation.loss)
        self.epoch, self._batch, self._tally = self.epoch + 1, 0, Tally()
        self._write()
        return report

    def _pause(self, interrupt: HeldInterrupt) -> None:
        """Between two batches: write a checkpoint if one is due, stop if asked to."""
        if not self._at_step:
            return
        if interrupt.requested:
            self._stop()
        every = self._config.checkpoint_every
        if every and self._batch // every > max(self._batch - self._config.accumulate, 0) // every:
            self._write()

    def _stop(self) -> None:
        self._write()
        raise KeyboardInterrupt

    def _write(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state(),
            "optimiser": self._optimiser.state(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "batch": self._batch,
            "stale": self._stale,
            "tally": self._tally.sums,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best_weights": self._best_weights,
        }
        write_checkpoint(self._checkpoint, state, config_sha256=self._sha256)

    def _resume(self) -> None:
        state = read_checkpoint(self._checkpoint, config_sha256=self._sha256)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.average.restore(state["average"])
        self._optimiser.restore(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.epoch, self._batch, self._stale = state["epoch"], state["batch"], state["stale"]
        self._tally = Tally(state["tally"])
        self.best_epoch, self.best_loss = state["best_epoch"], state["best_loss"]
        self._best_weights = state["best_weights"]


def epoch_rows(count: int, *, seed: int, epoch: int) -> Rows:
    """int64 [count]: the order of rows in an epoch; it depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)
