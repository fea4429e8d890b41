"""What is measured of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, cast

Kind = Literal["train", "model", "predict", "live"]
Precision = Literal["bf16", "fp32"]

PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of work in one number format."""

    kind: Kind
    """"train": a training step. "model": the network alone on tensors. "predict": the library's own way from
    prepared data to an answer. "live": one new bar of every symbol through the agent, features included."""
    precision: Precision
    """What matrix products are done in; everything else is float32 as far as the library keeps it so."""
    batch: int
    """Windows, or symbols, at once."""

    @property
    def key(self) -> str:
        """The case as a word: "train bf16 128"."""
        return f"{self.kind} {self.precision} {self.batch}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """The case of a `key`."""
        kind, precision, batch = key.split()
        return cls(kind=cast(Kind, kind), precision=cast(Precision, precision), batch=int(batch))
