"""`NetworkTrainer`: the training loop, from which it can be cut off and go on to the same numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantum_trader.agents.network import Network
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.mirror import Mirror
from quantum_trader.train.checkpoint import read_checkpoint, write_checkpoint
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.device import random_state, restore_random, seed_random, training_device
from quantum_trader.train.distributed import Group
from quantum_trader.train.ema import WeightAverage
from quantum_trader.train.forward import Forward
from quantum_trader.train.interrupt import HeldInterrupt
from quantum_trader.train.memory import explained_memory_errors, less_memory
from quantum_trader.train.mirrored import MirroredRows, RowSource, turn_half
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport, Explained, Figures, Seen
from quantum_trader.train.network_log import NetworkLog
from quantum_trader.train.network_loss import NetworkLoss
from quantum_trader.train.network_optimiser import Optimiser
from quantum_trader.train.progress import Progress
from quantum_trader.train.tally import Tally, joined
from quantum_trader.train.watch import FiniteWatch

Rows = NDArray[np.int64]
AnyNetwork = TypeVar("AnyNetwork", bound=Network)

_VALIDATION_BATCH = 512
_BATCHES_BETWEEN_LOOKS = 20
"""Figures are read, shown and logged this often: reading one makes a GPU wait, and processes meet for it."""


class NetworkTrainer(Generic[AnyNetwork]):
    """Fits a network on `train`, keeps the averaged weights that do best on `validation`.

    The processes of a group share every batch and all go through the same weights; a batch then has
    `batch_size` rows from each of them.

    Args:
        train, validation: the rows, the same in every process.
        network: the network to fit, with its initial weights.
        config: how to fit it.
        class_weights: the factor of HOLD, BUY, SELL in the loss.
        return_scale: unit of the returns that quantiles are fitted to.
        checkpoint: file to write checkpoints to and to resume from.
        config_sha256: hash of everything that decides the result; a checkpoint of another is refused.
        mirror: shows half of the training rows, other ones each epoch, in the mirrored market; None none.
        group: the processes that train together; None trains in this one alone.

    Raises:
        ConfigError: the device asked for is missing.
        TrainingError: fewer rows than processes, or a checkpoint that cannot be used.
    """

    def __init__(
        self,
        train: PooledDataset,
        validation: PooledDataset,
        *,
        network: AnyNetwork,
        config: NetworkTrainConfig,
        class_weights: tuple[float, ...],
        return_scale: ReturnScale,
        checkpoint: Path,
        config_sha256: str,
        mirror: Mirror | None = None,
        group: Group | None = None,
    ) -> None:
        self._train, self._validation = train, validation
        self._source: RowSource = train if mirror is None else MirroredRows(train, mirror)
        self._mirrored = mirror is not None
        self._config = config
        self._checkpoint, self._sha256 = checkpoint, config_sha256
        self._group = group if group is not None else Group()
        if len(train) < self._group.size:
            raise TrainingError(
                f"There are {len(train)} training rows for {self._group.size} processes: start fewer."
            )
        self.device = training_device(config.device, local_rank=self._group.local_rank)
        self._forward = Forward(self.device, precision=config.precision, return_scale=return_scale)
        wanted = config.samples_per_epoch or len(train)
        self._batch_rows = config.batch_size * self._group.size
        self._batches = max(min(wanted, len(train)) // self._batch_rows, 1)
        with self._explained():
            self.model = network.to(self.device)
            self._group.copy_first_(list(self.model.parameters()))
            self.average = WeightAverage(self.model, config.ema_decay)
        steps = math.ceil(self._batches / config.accumulate)
        self._optimiser = Optimiser(self.model, config, steps_per_epoch=steps)
        self._loss = NetworkLoss(
            quantiles=network.config.quantiles,
            class_weights=class_weights,
            quantile_weight=config.quantile_weight,
            label_smoothing=config.label_smoothing,
            device=self.device,
        )
        self._watch = FiniteWatch(1 if self.device.type == "cpu" else 2 * _BATCHES_BETWEEN_LOOKS)
        self.epoch, self._batch, self._stale = 0, 0, 0
        self.best_epoch, self.best_loss = 0, math.inf
        self._best_weights: dict[str, Any] = self.average.model.state_dict()
        self._tally = Tally(self.device)
        self._start()

    @property
    def step(self) -> int:
        """Batches done since the very beginning."""
        return self.epoch * self._batches + self._batch

    def run(
        self,
        log: NetworkLog | None,
        interrupt: HeldInterrupt,
        on_epoch: Callable[[EpochReport], None] | None = None,
    ) -> AnyNetwork:
        """Train until the epochs or the patience end; returns the network with the best weights, on the CPU.

        Args:
            log: where figures are logged; the first process's, None in the others.
            interrupt: Ctrl-C, noted; one process that was asked to stop stops them all.
            on_epoch: called after each epoch in the first process.

        Raises:
            TrainingError: the loss or a gradient is not finite, or memory ran out.
            KeyboardInterrupt: Ctrl-C; a checkpoint has been written and the next run goes on from it.
        """
        while self.epoch < self._config.epochs and self._stale < self._config.patience:
            speed = self._train_epoch(log, interrupt)
            validation, explained = self._validate(interrupt)
            report = self._end_epoch(validation, speed)
            if log is not None:
                log.epoch(self.step, report, explained)
            if on_epoch is not None and self._group.first:
                on_epoch(report)
        best = self.average.model
        best.load_state_dict(self._best_weights)
        return best.cpu()

    def _train_epoch(self, log: NetworkLog | None, interrupt: HeldInterrupt) -> float:
        """The rest of the epoch; returns samples per second."""
        config = self._config
        rows = epoch_rows(len(self._train), seed=config.seed, epoch=self.epoch)
        if self._mirrored:
            rows = turn_half(rows, len(self._train), seed=config.seed, epoch=self.epoch)
        name = f"{self._checkpoint.stem} epoch {self.epoch + 1}/{config.epochs}"
        total = self._batches * self._batch_rows
        self.model.train()
        begun, before, shown = time.perf_counter(), self._done, {}
        with Progress(name, total=total, unit="samples", start=before, stream=self._group.stream) as progress:
            while self._batch < self._batches:
                start = self._batch * self._batch_rows
                self.train_batch(rows[start : start + self._batch_rows])
                if self._at_look:
                    figures = self._tally.figures(self._group)
                    shown = {"loss": figures.loss, "accuracy": figures.accuracy}
                progress.update(self._done, shown)
                if log is not None and self.step % _BATCHES_BETWEEN_LOOKS == 0:
                    extra = {"lr": self._optimiser.learning_rate, "samples_per_second": progress.rate}
                    log.batch(self.step, shown | extra)
                self._pause(interrupt)
        self._watch.check()
        seconds = time.perf_counter() - begun
        return (self._done - before) / seconds if seconds > 0 else 0.0

    def train_batch(self, rows: Rows) -> None:
        """One pass forward and back over `rows`, int64 [B], of all processes, and a step where one is due."""
        config, group = self._config, self._group
        with self._explained():
            output, targets = self._forward(self.model, self._source, group.share(rows))
            weights = self._loss.weights(targets)
            group.sum_(weights)
            loss = self._loss(output, targets, weights)
            self._watch.see(loss.total, f"The loss in {self._where}", self._remedy)
            (loss.total / config.accumulate).backward()  # type: ignore[no-untyped-call]
            self._tally.add(loss, output, targets, rows=len(rows))
            where = self._where
            self._batch += 1
            if self._at_step:
                group.sum_(self._optimiser.gradients)
                norm = self._optimiser.clip()
                self._watch.see(norm, f"The gradient in {where}", "lower learning_rate or grad_clip")
                self._optimiser.step()
                self.average.update()

    @property
    def _done(self) -> int:
        """Rows of this epoch that were trained on, in all processes."""
        return min(self._batch * self._batch_rows, len(self._train))

    @property
    def _at_step(self) -> bool:
        """Whether no gradient of a batch is waiting for more batches."""
        return self._batch % self._config.accumulate == 0 or self._batch == self._batches

    @property
    def _at_look(self) -> bool:
        """Whether figures are due."""
        return self.step % _BATCHES_BETWEEN_LOOKS == 0 or self._batch in (1, self._batches)

    @property
    def _where(self) -> str:
        return f"epoch {self.epoch + 1}, batch {self._batch + 1}"

    @property
    def _remedy(self) -> str:
        """What to do about a loss that is not finite."""
        now = f"{self._optimiser.learning_rate:g}"
        return f"look for infinite values in the data, or lower learning_rate (now {now})"

    def _explained(self) -> AbstractContextManager[None]:
        """Running out of memory names the settings that help."""
        config, name = self._config, self._checkpoint.stem
        return explained_memory_errors(
            less_memory(name, batch_size=config.batch_size, accumulate=config.accumulate)
        )

    def _validate(self, interrupt: HeldInterrupt) -> tuple[Figures, Explained]:
        """Figures of the averaged weights; nothing here draws random numbers.

        The processes take whole batches in turn, so that the sums are those of a single process.
        """
        tally, seen = Tally(self.device), Seen(self.average.model.config.bars_seen)
        count, group = len(self._validation), self._group
        with torch.inference_mode(), self._explained():
            for turn in range(0, count, _VALIDATION_BATCH * group.size):
                start = turn + _VALIDATION_BATCH * group.rank
                rows = np.arange(start, min(start + _VALIDATION_BATCH, count))
                if len(rows):
                    output, targets = self._forward(self.average.model, self._validation, rows)
                    tally.add(self._loss(output, targets), output, targets)
                    seen.add(output, targets)
                if group.any(interrupt.requested):
                    self._stop()
        return tally.figures(group), joined(group.gather(seen.explained()))

    def _end_epoch(self, validation: Figures, speed: float) -> EpochReport:
        if not math.isfinite(validation.loss):
            raise TrainingError(
                f"The validation loss after epoch {self.epoch + 1} is {validation.loss}: {self._remedy}."
            )
        better = validation.loss < self.best_loss
        self._stale = 0 if better else self._stale + 1
        if better:
            self.best_loss, self.best_epoch = validation.loss, self.epoch + 1
            state = self.average.model.state_dict()
            self._best_weights = {name: tensor.clone() for name, tensor in state.items()}
        report = EpochReport(
            epoch=self.epoch + 1,
            train=self._tally.figures(self._group),
            validation=validation,
            learning_rate=self._optimiser.learning_rate,
            samples_per_second=speed,
            best=better,
        )
        self._optimiser.end_epoch(validation.loss)
        self.epoch, self._batch, self._tally = self.epoch + 1, 0, Tally(self.device)
        self._write()
        return report

    def _pause(self, interrupt: HeldInterrupt) -> None:
        """Between two batches: write a checkpoint if one is due, stop if asked to."""
        if not self._at_step:
            return
        if self._group.any(interrupt.requested):
            self._stop()
        every = self._config.checkpoint_every
        if every and self._batch // every > max(self._batch - self._config.accumulate, 0) // every:
            self._write()

    def _stop(self) -> None:
        self._write()
        self._group.wait()  # torchrun ends the first process in the middle of writing if another is gone.
        raise KeyboardInterrupt

    def _write(self) -> None:
        self._watch.check()
        random = self._group.gather(random_state(self.device))
        tally = self._tally.totals(self._group)
        if not self._group.first:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state(),
            "optimiser": self._optimiser.state(),
            "random": random,
            "epoch": self.epoch,
            "batch": self._batch,
            "stale": self._stale,
            "tally": tally,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best_weights": self._best_weights,
        }
        write_checkpoint(self._checkpoint, state, config_sha256=self._sha256)

    def _start(self) -> None:
        """Go on from the checkpoint if there is one."""
        state = read_checkpoint(self._checkpoint, config_sha256=self._sha256)
        where = (state["epoch"], state["batch"]) if state is not None else None
        if any(other != where for other in self._group.gather(where)):
            raise TrainingError(
                f"The processes do not find the same checkpoint at {self._checkpoint}: put the run on a disk "
                "that all of them share."
            )
        if state is None:
            self._draw([])
            return
        self.model.load_state_dict(state["model"])
        self.average.restore(state["average"])
        self._optimiser.restore(state["optimiser"])
        self.epoch, self._batch, self._stale = state["epoch"], state["batch"], state["stale"]
        self._tally = Tally(self.device, state["tally"] if self._group.first else ())
        self.best_epoch, self.best_loss = state["best_epoch"], state["best_loss"]
        self._best_weights = state["best_weights"]
        self._draw(state["random"])

    def _draw(self, states: list[dict[str, Tensor]]) -> None:
        """Go on with the random numbers of a checkpoint; with new ones if there are none for this process.

        On a fresh start the first process draws on where the initial weights stopped.
        """
        group = self._group
        if len(states) == group.size and self.device.type in states[group.rank]:
            restore_random(self.device, states[group.rank])
        elif states or not group.first or self.device.type != "cpu":
            seed_random(self.device, self._config.seed, group.rank, self.step)


def epoch_rows(count: int, *, seed: int, epoch: int) -> Rows:
    """int64 [count]: the order of rows in an epoch; it depends on seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)
