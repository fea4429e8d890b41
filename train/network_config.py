"""Settings of network training. Imports no torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class NetworkTrainConfig:
    """How a network is fitted."""

    epochs: int = 20
    """Most epochs of `samples_per_epoch` rows; early stopping usually ends sooner."""
    batch_size: int = 128
    """Rows a process takes per pass through the network; larger is faster and learns less per row."""
    accumulate: int = 1
    """Batches whose gradients are added up before each step: a larger batch without its memory."""
    learning_rate: float = 1e-3
    """AdamW step size; 3e-3 hurts. Less is slower and starts more surely: on a task of pure memory
    (benchmarks/order.py) one seed of three learnt nothing with 1e-3."""
    weight_decay: float = 1e-2
    """AdamW decay of weight matrices; more pulls toward simpler functions."""
    scheduler: Literal["plateau", "onecycle"] = "plateau"
    """"plateau" halves the step when validation stops improving, "onecycle" rises and falls once."""
    plateau_patience: int = 1
    """Epochs without improvement before "plateau" halves the step."""
    patience: int = 5
    """Epochs without a better validation loss before training stops; more is slower and rarely better."""
    ema_decay: float = 0.999
    """Memory of the running mean of weights that is validated and kept; 0 keeps the plain weights."""
    grad_clip: float = 1.0
    """Largest norm of a gradient; lower is safer and slower."""
    label_smoothing: float = 0.0
    """Share of each label spread over all classes; makes the network less sure of itself."""
    quantile_weight: float = 0.5
    """Weight of the quantile loss beside the cross entropy; 0 leaves the quantiles unfitted."""
    class_weights: Literal["none", "sqrt", "balanced"] = "none"
    """Weigh rare classes more while training; the shares are put right again in the final network."""
    mirror: bool = True
    """Show half of the rows, other ones each epoch, with prices turned upside down and BUY and SELL swapped:
    the drift of the training years then teaches nothing. Without effect on windows of your own."""
    max_samples: int = 0
    """Most training rows, evenly spaced; 0 takes all."""
    max_validation_samples: int = 20_000
    """Most validation rows looked at after each epoch, evenly spaced; 0 takes all."""
    samples_per_epoch: int = 50_000
    """Most rows drawn for an epoch, others each time; on many rows the best network may come before each row
    was seen once, and only validation can tell. 0 takes all."""
    checkpoint_every: int = 500
    """Batches between checkpoints inside an epoch; 0 writes them after epochs only."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """"auto" multiplies in bfloat16 where the device does so natively, twice as fast or more."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """"auto" trains on a CUDA GPU if there is one; only on the CPU does a seed decide every last bit."""
    distributed: Literal["auto", "off"] = "auto"
    """"auto" shares the work among the processes that torchrun started, batch_size rows a batch for each of
    them; "off" trains in each process alone."""
    num_threads: int = 1
    """Torch threads; 0 takes torch's own setting. Two gain half on an idle machine with
    OMP_WAIT_POLICY=ACTIVE, nearly stop with it on a busy one, and lose a third with PASSIVE, the default."""
    seed: int = 0
    """Seed of initial weights, dropout and the order of rows; the same seed gives the same network."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "patience"):
            _require(getattr(self, name) >= 1, name, "a whole number of at least 1", getattr(self, name))
        for name in ("max_samples", "max_validation_samples", "samples_per_epoch", "checkpoint_every"):
            _require(getattr(self, name) >= 0, name, "a whole number of at least 0", getattr(self, name))
        _require(self.learning_rate > 0, "learning_rate", "a number above 0", self.learning_rate)
        _require(self.grad_clip > 0, "grad_clip", "a number above 0", self.grad_clip)
        _require(0 <= self.ema_decay < 1, "ema_decay", "a number in [0, 1)", self.ema_decay)
        _require(0 <= self.label_smoothing < 1, "label_smoothing", "a number in [0, 1)", self.label_smoothing)

    def deciding(self, processes: int = 1) -> NetworkTrainConfig:
        """The settings that decide how training goes on; those that may change in between are reset.

        Args:
            processes: how many share a batch; as many rows a batch in fewer or more processes are the same.
        """
        return replace(
            self,
            batch_size=self.batch_size * processes,
            checkpoint_every=0,
            num_threads=0,
            device="auto",
            distributed="auto",
        )


def _require(condition: bool, name: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"NetworkTrainConfig: {name}: expected {expected}, found {found}.")
