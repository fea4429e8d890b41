"""What trees are grown on: the summary tables of training and validation rows with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.tables import summary_table

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeRows:
    """Training rows and the validation rows that end the boosting.

    Attributes:
        table: float32 [N, TABULAR_SIZE], training rows.
        action: int8 [N], `Action` values.
        weight: float32 [N], sample weights.
        validation_table: float32 [M, TABULAR_SIZE].
        validation_action: int8 [M]; validation rows weigh 1 each.
    """

    table: Floats32
    action: NDArray[np.int8]
    weight: Floats32
    validation_table: Floats32
    validation_action: NDArray[np.int8]

    @classmethod
    def of(cls, train: PooledDataset, validation: PooledDataset) -> Self:
        """The rows of two datasets."""
        return cls(
            table=summary_table(train),
            action=train.action,
            weight=train.weight,
            validation_table=summary_table(validation),
            validation_action=validation.action,
        )

    def __len__(self) -> int:
        return len(self.table)
